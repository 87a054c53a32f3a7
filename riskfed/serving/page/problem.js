/** Problems (RFC 9457) where the analyst can mend them: at their fields, and in a list that leads there. */

import { el, put } from "./dom.js";

/**
 * @param {HTMLElement} holder
 * @param {import("./form.js").ApplicantForm|null} form
 * @param {import("./api.js").Problem} problem
 */
export function showProblem(holder, form, problem) {
  const lines = problem.errors.map((error) => line(error, form));
  put(holder, el("div", { class: "problem", role: "alert" },
    el("p", {}, el("b", {}, `✕ ${problem.title}. `), problem.detail),
    lines.length ? el("ul", {}, ...lines.map(({ item }) => item)) : null));
  form?.focus(lines.find(({ field }) => field)?.field);
}

/** Take the problem away. */
export function clearProblem(holder) {
  put(holder);
}

function line({ name, pointer, detail }, form) {
  const [root, field] = name ? ["applicant", name] : stepsOf(pointer ?? "");
  if (root !== "applicant" || !form?.showProblem(field, detail)) {
    return { item: el("li", {}, `${field ?? root ?? "Request"}: ${detail}`), field: null };
  }
  const title = form.fields.get(field).title;
  const go = el("button", { type: "button", class: "link", click: () => form.focus(field) }, title);
  return { item: el("li", {}, go, `: ${detail}`), field };
}

/** Steps of a JSON pointer in its URI fragment form (RFC 6901, section 6). */
export function stepsOf(pointer) {
  const steps = pointer.replace(/^#/, "").split("/").slice(1);
  return steps.map((step) => decodeURIComponent(step).replaceAll("~1", "/").replaceAll("~0", "~"));
}
