/** The result of a score: PD, points on their scale, reasons as bars, and which model it was. */

import { copyButton, el, put } from "./dom.js";
import { change, frequency, percent, short, shown, signed } from "./format.js";
import { levelText } from "./fields.js";

const MARKED_PDS = [0.5, 0.2, 0.05, 0.01, 0.001];

/**
 * Show an answer.
 * @param {HTMLElement} holder
 * @param {object} answer of POST /v1/score, with `language`
 * @param {{applicant: object, fields: Map, scale: object|undefined, tried: HTMLElement|null}} context
 */
export function showResult(holder, answer, context) {
  put(holder, context.tried, headline(answer), gauge(answer, context.scale), fallback(answer),
    ...reasons(answer, context), provenance(answer));
}

/** A sentence for a screen reader. */
export function spokenResult(answer) {
  const count = answer.reasons.length;
  const found = `${count} adverse ${count === 1 ? "reason" : "reasons"}`;
  return `Score ${answer.score}, probability of default ${percent(answer.pd)}, ${found}.`;
}

function headline({ score, pd, score_range: [low, high] }) {
  return el("div", { class: "headline" },
    el("p", {}, el("span", { class: "soft" }, "Score"),
      el("data", { id: "score", class: "figure", value: score }, shown(score)),
        el("span", { class: "soft" }, `points of ${low} to ${high}; higher is better`)),
    el("p", {}, el("span", { class: "soft" }, "Probability of default (PD)"),
      el("data", { id: "pd", class: "figure", value: pd }, percent(pd)),
        el("span", { class: "soft" }, frequency(pd))));
}

/** The scale from end to end, with the score on it and, where the scale is known, the PDs that its points stand for. */
function gauge({ score, score_range: [low, high] }, scale) {
  const place = (points) => `${Math.min(100, Math.max(0, (100 * (points - low)) / (high - low)))}%`;
  const at = (name, points, ...children) => {
    const mark = el("span", { class: name }, ...children);
    mark.style.left = place(points);
    return mark;
  };
  const filled = el("span", { class: "filled" });
  filled.style.width = place(score);
  const marks = scale ? MARKED_PDS.map((pd) => [pd, pointsOf(pd, scale)]) : [];
  const shownMarks = marks.filter(([, points]) => points > low && points < high);
  return el("div", { class: "gauge", role: "img", "aria-label": `Score ${score} on a scale from ${low} to ${high}` },
    el("div", { class: "track" }, filled, at("needle", score)),
    el("div", { class: "ends" },
      el("span", {}, String(low)), at("here", score, String(score)), el("span", {}, String(high))),
    shownMarks.length === 0 ? null : el("div", { class: "marks" }, el("span", {}, "PD"),
      ...shownMarks.map(([pd, points]) => at("mark", points, `${pd * 100} %`))));
}

/** Points of a PD: `odds` goods to a bad at `base`, doubled with each `pdo` points. */
function pointsOf(pd, { base, odds, pdo }) {
  return base + (pdo / Math.LN2) * Math.log((1 - pd) / pd / odds);
}

const FALLBACKS = {
  deadline: "The partner did not answer in time",
  unknown_customer: "The partner does not know this customer",
  partner_unavailable: "The partner could not be reached",
  no_customer: "No customer was named to the partner",
};

function fallback({ fallback: why }) {
  if (!why) return null;
  return el("p", { class: "notice" }, `${FALLBACKS[why] ?? why}: this score comes from the bank's own data alone.`);
}

function reasons(answer, { applicant, fields }) {
  const heading = el("h3", {}, "Reasons");
  if (answer.reasons.length === 0) {
    const none = "No adverse reason: nothing counts against this applicant, compared with the average loan.";
    return [heading, el("p", {}, none)];
  }
  const most = Math.max(...answer.reasons.map(({ points_lost: lost }) => lost));
  const note = el("p", { class: "soft" }, "What cost the most points, compared with the average loan.");
  const lines = answer.reasons.map((reason) => reasonLine(reason, most, answer.language, { applicant, fields }));
  return [heading, note, el("ol", { class: "reasons" }, ...lines)];
}

function reasonLine(reason, most, language, { applicant, fields }) {
  const bar = el("span", { class: "bar" });
  bar.style.width = `${(100 * reason.points_lost) / most}%`;
  const field = fields.get(reason.feature);
  const value = field ? `${field.title}: ${valueText(field, applicant[reason.feature])}`
    : `What ${reason.feature} holds of this customer; its values are not shown to this bank.`;
  return el("li", {},
    el("div", { class: "reason-text" },
      el("code", { class: "code" }, reason.code),
      el("span", { lang: language || null }, reason.text),
      el("b", { class: "lost" }, signed(-reason.points_lost))),
    el("div", { class: "bar-track", "aria-hidden": "true" }, bar),
    el("p", { class: "hint" }, value));
}

/** A value as the applicant's file or form has it, with what its level means. */
export function valueText(field, value) {
  return field?.levels && value !== null && value !== undefined ? levelText(field, value) : shown(value);
}

function provenance({ model, request_id: id }) {
  const request = el("code", { id: "request-id" }, id);
  const sha = el("code", { title: model.sha256 }, short(model.sha256));
  const version = `${model.name}, version ${model.version}${model.alias ? ` (${model.alias})` : ""}`;
  return el("dl", { class: "facts" },
    el("dt", {}, "Model"), el("dd", {}, version),
    el("dt", {}, "sha256"), el("dd", {}, sha, " ", copyButton(model.sha256, "the model's sha256", sha)),
    el("dt", {}, "Request"), el("dd", {}, request, " ", copyButton(id, "the request's id", request)));
}

/**
 * A banner while values are being tried out, so that nobody takes the result for the applicant's own.
 * @param {Map<string, unknown>} own the applicant's values of the fields that were changed
 * @param {number|null} ownScore
 * @param {number} score
 * @param {() => void} back
 */
export function triedBanner(own, ownScore, score, { applicant, fields, back }) {
  if (own.size === 0) return null;
  const lines = [...own].map(([name, value]) => {
    const field = fields.get(name);
    return el("li", {}, `${field.title}: ${valueText(field, applicant[name])} instead of ${valueText(field, value)}`);
  });
  const against = `against the applicant's own values (${ownScore})`;
  const effect = ownScore === null ? "" : `${change(score - ownScore)} ${against}.`;
  return el("div", { class: "notice" },
    el("p", {}, el("b", {}, "Tried out, not the applicant's own: "), effect),
    el("ul", {}, ...lines),
    el("button", { type: "button", id: "back-button", click: back }, "Back to the applicant's own values"));
}
