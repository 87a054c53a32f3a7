/** The card of the model in use: what it is, how well it did, and what it is made of. */

import { copyButton, el, put, table } from "./dom.js";
import { moment, shown } from "./format.js";

const KINDS = { xgboost: "gradient-boosted trees (XGBoost)", scorecard: "scorecard",
  logistic: "logistic regression in parts" };
const PARTS = { trees: "Trees", depth: "Greatest depth", variables: "Variables", base_points: "Points to begin with" };
/** Figures in the order in which they are read; what else the registry says stands below. */
const FIGURES = {
  auc: "AUC", ks: "KS", gini: "Gini", logloss: "Log loss", brier: "Brier score", rows: "Loans", defaults: "Defaults",
};
const VERDICTS = ["headline"];

/** One line for the head of the page. */
export function modelLine({ name, version, role, since }) {
  return `${name}, version ${version}${role ? `, ${role}` : ""}${since ? ` since ${moment(since)}` : ""}`;
}

/**
 * @param {HTMLElement} holder
 * @param {object} model of GET /v1/models/{version}
 * @param {Map} fields the form's, for titles
 */
export function showCard(holder, model, fields) {
  const card = model.card ?? {};
  const figures = model.figures ?? {};
  put(holder,
    ...VERDICTS.filter((name) => figures[name]).map((name) => el("p", {}, figures[name])),
    el("div", { class: "card-columns" }, identity(model, card), known(figures)),
    ...bins(card, fields), ...important(card, fields), others(figures, card.description));
}

function identity(model, card) {
  const sha = el("code", {}, model.sha256);
  const { base, odds, pdo, minimum, maximum } = model.scale;
  const rows = [
    ["Name", model.name],
    ["Version", model.alias ? `${model.version} (${model.alias})` : model.version],
    ["Kind", KINDS[model.kind] ?? model.kind],
    ["In use since", moment(model.since)],
    ["Schema", `${model.schema_name}, version ${model.schema_version}`],
    ["Scale", `${minimum} to ${maximum}; ${base} points are ${odds} good to 1 bad, ${pdo} points more double that`],
    ...Object.keys(PARTS).filter((name) => Number.isFinite(card[name])).map((name) => [PARTS[name], shown(card[name])]),
    ["sha256", [sha, " ", copyButton(model.sha256, "the sha256 of the card", sha)]],
  ];
  return el("div", {}, el("h3", {}, "What it is"), facts(rows));
}

function known(figures) {
  const rows = Object.keys(FIGURES).filter((name) => figures[name] !== undefined);
  if (rows.length === 0) return null;
  const listed = rows.map((name) => [FIGURES[name], figureText(figures[name])]);
  return el("div", {}, el("h3", {}, "How well it did"), facts(listed));
}

function others(figures, description) {
  const rows = Object.entries(figures).filter(([name]) => !(name in FIGURES) && !VERDICTS.includes(name));
  if (rows.length === 0 && !description) return null;
  const listed = rows.map(([name, value]) => [name.replaceAll("_", " "), figureText(value)]);
  const text = description ? el("pre", { class: "scroll", tabindex: "0" }, description) : null;
  return el("details", {}, el("summary", {}, "All that the registry says of it"), facts(listed), text);
}

function facts(rows) {
  const pairs = rows.flatMap(([title, value]) => [el("dt", {}, title), el("dd", {}, ...[value].flat())]);
  return el("dl", { class: "facts" }, ...pairs);
}

/** Numbers to four decimals, counts whole; other texts as they are. */
function figureText(text) {
  const number = Number(text);
  if (String(text).trim() === "" || !Number.isFinite(number)) return String(text);
  return shown(Number(number.toFixed(4)));
}

/** A scorecard's table. */
function bins({ table: rows }, fields) {
  if (!rows?.length) return [];
  const cells = rows.map((row, at) => {
    const title = at > 0 && rows[at - 1].feature === row.feature ? "" : titleOf(fields, row.feature);
    const woe = row.woe === null ? "" : shown(Number(row.woe.toFixed(3)));
    return [title, row.bin, woe, row.points === null ? "" : shown(row.points)];
  });
  return [el("h3", {}, "Its table"), table("The scorecard's bins", ["Feature", "Bin", "WoE", "Points"], cells)];
}

/** The features that trees use most. */
function important({ importance: features }, fields) {
  if (!features?.length) return [];
  const most = Math.max(...features.map(({ gain }) => gain));
  const lines = features.map(({ feature, gain }) => {
    const share = Math.round((100 * gain) / most);
    const bar = el("span", { class: "bar" });
    bar.style.width = `${share}%`;
    const track = el("div", { class: "bar-track", "aria-hidden": "true" }, bar);
    return el("li", {}, el("span", {}, titleOf(fields, feature)), track, el("span", { class: "number" }, `${share} %`));
  });
  const note = el("p", { class: "soft" }, "Mean gain of a split on the feature, against the strongest.");
  return [el("h3", {}, "What its trees use most"), note, el("ul", { class: "importance" }, ...lines)];
}

const titleOf = (fields, name) => fields.get(name)?.title ?? name;
