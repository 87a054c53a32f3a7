/** What would change a score: for each feature, the points over its values, to read and to try out. */

import { el, put, svg } from "./dom.js";
import { change, shown } from "./format.js";
import { valueText } from "./result.js";

const NOTE =
  "One value at a time, all others as they are, within the schema's bounds: what the model would answer, no advice and "
  + "no promise. A step of a curve is a value, or a range with one score; the ring is the value now, the dashed line the "
  + "score now.";

/**
 * @param {HTMLElement} holder
 * @param {object} answer of POST /v1/score:what-if, with `language`
 * @param {{fields: Map, use: (name: string, value: unknown) => void}} context
 */
export function showWhatIf(holder, answer, { fields, use }) {
  const items = answer.alternatives.map((each, at) => {
    return alternative(each, at, answer, { field: fields.get(each.feature), use });
  });
  const left = answer.immutable.map((name) => fields.get(name)?.title ?? name).join(", ");
  const alone = "Partners are not asked about values that are tried out: all of this, and the score now of "
    + `${answer.score}, comes from the bank's own data alone.`;
  put(holder,
    el("p", { class: "soft" }, NOTE),
    answer.fallback ? el("p", { class: "notice" }, alone) : null,
    items.length ? el("ul", { class: "alternatives" }, ...items) : el("p", {}, "There is no value to change."),
    left ? el("p", { class: "hint" }, `Left out, because nobody can change it, or is to be asked to: ${left}.`) : null);
}

function alternative(each, at, answer, { field, use }) {
  const title = field?.title ?? each.feature;
  const say = (value) => valueText(field, value);
  const take = (value) => use(each.feature, value);
  const offers = offersOf(each, answer.score);
  const choices = offers.map(({ value }) =>
    el("button", { type: "button", class: "quiet", click: () => take(value) }, `Try ${say(value)}`));
  const words = el("div", {},
    el("h3", { id: `alternative-${at}` }, title),
    el("p", { class: "hint", lang: answer.language || null }, each.text),
    el("p", {}, sentence(offers, each.current, say)),
    choices.length ? el("p", { class: "choices" }, ...choices) : null);
  const curve = each.curve.length > 1 ? explorer(each, title, answer.score, { say, take }) : null;
  return el("li", { "aria-labelledby": `alternative-${at}` }, words, curve);
}

const same = (one, other) => one === other || (one == null && other == null);

/** The nearest value that is clearly better, and the best one, with the points that they give on top. */
function offersOf({ nearest, nearest_points: nearestPoints, best, best_points: bestPoints }, score) {
  const found = [{ value: nearest, gain: nearestPoints - score }, { value: best, gain: bestPoints - score }];
  const useful = found.filter(({ value, gain }) => value !== null && value !== undefined && gain > 0);
  return useful.length === 2 && same(useful[0].value, useful[1].value) ? [useful[1]] : useful;
}

function sentence([first, second], current, say) {
  if (!first) return `No other value would help; it is ${say(current)}.`;
  const most = second ? ` The most is ${change(second.gain)}, at ${say(second.value)}.` : "";
  return `At ${say(first.value)} instead of ${say(current)}: ${change(first.gain)}.${most}`;
}

/** The curve, and a slider that walks along it. Steps are equally wide: values are told by the slider, not by distance. */
function explorer({ curve, current }, title, score, { say, take }) {
  const start = placeOf(curve, current);
  const { drawing, select } = draw(curve, start, score);
  const text = el("output", {});
  const button = el("button", { type: "button", class: "quiet small" });
  const range = { type: "range", min: "0", max: String(curve.length - 1), step: "1" };
  const slider = el("input", { ...range, "aria-label": `Values of ${title}` });
  slider.value = String(Math.max(start, 0));
  const walk = () => {
    const [value, points] = curve[Number(slider.value)];
    const own = Number(slider.value) === start;
    const told = `${say(value)}: ${points} points, ${own ? "as it is" : change(points - score)}`;
    slider.setAttribute("aria-valuetext", told);
    text.textContent = told;
    button.textContent = `Try ${say(value)}`;
    button.hidden = own;
    select(Number(slider.value));
  };
  slider.addEventListener("input", walk);
  button.addEventListener("click", () => take(curve[Number(slider.value)][0]));
  walk();
  const [first, last] = [say(curve[0][0]), say(curve.at(-1)[0])];
  const ends = el("div", { class: "curve-ends", "aria-hidden": "true" }, el("span", {}, first), el("span", {}, last));
  return el("div", {}, drawing, slider, ends, el("p", { class: "choices chosen-value" }, text, button));
}

/** Position of the applicant's own value; -1 where it is missing. Numbers fall to the nearest of the curve. */
function placeOf(curve, current) {
  const exact = curve.findIndex(([value]) => same(value, current));
  if (exact !== -1 || typeof current !== "number") return exact;
  const distances = curve.map(([value]) => (typeof value === "number" ? Math.abs(value - current) : Infinity));
  return distances.indexOf(Math.min(...distances));
}

/** Points as steps, one a value; a ring at the applicant's own value, a dashed line at the score. */
function draw(curve, start, score) {
  const points = curve.map(([, each]) => each);
  const [low, high] = [Math.min(...points, score), Math.max(...points, score)];
  const y = (each) => 92 - (84 * (each - low)) / Math.max(high - low, 1);
  const steps = points.map((each, at) => `${at === 0 ? "M0 " : "V"}${y(each)}H${at + 1}`).join("");
  const chosen = svg("rect", { class: "chosen", y: 0, width: 1, height: 100 });
  const line = svg("line", { class: "level", x1: 0, x2: curve.length, y1: y(score), y2: y(score) });
  const box = { viewBox: `0 0 ${curve.length} 100`, preserveAspectRatio: "none" };
  const plot = el("div", { class: "plot" }, svg("svg", box, chosen, line, svg("path", { class: "steps", d: steps })));
  if (start !== -1) plot.append(ring((100 * (start + 0.5)) / curve.length, y(points[start])));
  const axis = el("div", { class: "axis" }, el("span", {}, shown(high)), el("span", {}, shown(low)));
  const drawing = el("div", { class: "curve", "aria-hidden": "true" }, axis, plot);
  return { drawing, select: (at) => chosen.setAttribute("x", String(at)) };
}

/** Outside of the drawing, which is stretched to the width that there is: a ring stays round. */
function ring(left, top) {
  const mark = el("span", { class: "own" });
  mark.style.left = `${left}%`;
  mark.style.top = `${top}%`;
  return mark;
}
