/** The applicant as a form, from the model's schema. The service alone judges values; problems are shown at their fields. */

import { el, put } from "./dom.js";
import { groupsOf, levelText, valueOf } from "./fields.js";

const NOT_KNOWN = "\u0000not-known";

/** The form; `fields` maps a field's name to its description (see fields.js). */
export class ApplicantForm {
  #controls = new Map();

  /** @param {HTMLElement} holder @param {object} inputs JSON Schema of an applicant */
  constructor(holder, inputs) {
    this.holder = holder;
    this.fields = new Map();
    const sets = groupsOf(inputs).map((group, at) => this.#group(group, at));
    put(holder, ...sets);
  }

  /**
   * What stands in the form.
   * @returns {{applicant: object, problems: Array}} values by name, and where neither a value nor "not known" was chosen.
   */
  read() {
    const applicant = {};
    const problems = [];
    for (const [name, control] of this.#controls) {
      const value = control.value();
      if (value !== undefined) applicant[name] = value;
      else if (control.field.nullable) problems.push({ name, detail: "enter a value, or say that it is not known" });
    }
    return { applicant, problems };
  }

  /** Set the fields that are named; null is "not known". Others are cleared where `only`. */
  write(applicant, { only = true } = {}) {
    for (const [name, control] of this.#controls) {
      if (Object.hasOwn(applicant, name)) control.set(applicant[name]);
      else if (only) control.set(undefined);
    }
    this.clearProblems();
  }

  /** Show one problem at its field. @returns {boolean} whether there is such a field */
  showProblem(name, detail) {
    const control = this.#controls.get(name);
    if (!control) return false;
    const comma = !control.field.levels && control.inputs[0].value.includes(",");
    control.error.textContent = `✕ ${detail}${comma ? "; write 1234.5, without commas" : ""}`;
    control.error.hidden = false;
    for (const input of control.inputs) {
      input.setAttribute("aria-invalid", "true");
      input.setAttribute("aria-describedby", `${control.note.id} ${control.error.id}`);
    }
    return true;
  }

  /** Take all problems away. */
  clearProblems() {
    for (const control of this.#controls.values()) {
      control.error.hidden = true;
      control.error.textContent = "";
      for (const input of control.inputs) {
        input.removeAttribute("aria-invalid");
        input.setAttribute("aria-describedby", control.note.id);
      }
    }
  }

  /** Mark the fields whose values were only tried out. @param {Map<string, unknown>} names */
  markTried(names) {
    for (const [name, control] of this.#controls) control.box.classList.toggle("tried", names.has(name));
  }

  /** Put the keyboard into a field. */
  focus(name) {
    this.#controls.get(name)?.inputs[0].focus();
  }

  #group(group, at) {
    const note = group.note ? el("p", { class: "hint", id: `group-${at}` }, group.note) : null;
    const controls = group.fields.map((field, of) => this.#field(field, `f-${at}-${of}`));
    return el("fieldset", { "aria-describedby": note?.id },
      el("legend", {}, group.title), note, el("div", { class: "grid" }, ...controls));
  }

  #field(field, id) {
    const note = el("span", { class: "hint", id: `${id}-note`, hidden: !field.note }, field.note);
    const error = el("span", { class: "error", id: `${id}-error`, hidden: true });
    const control = field.levels ? choice(field, id) : number(field, id);
    const repeated = field.label.toLowerCase().startsWith(field.name.toLowerCase().replace(/[_-]+/g, " "));
    const label = el("label", { for: id }, field.label, " ", repeated ? null : el("code", {}, field.name));
    const box = el("div", { class: "field" }, label, note, ...control.parts, error);
    for (const input of control.inputs) input.setAttribute("aria-describedby", note.id);
    this.fields.set(field.name, field);
    this.#controls.set(field.name, { ...control, field, note, error, box });
    return box;
  }
}

/** A choice; where a value may be missing, "not known" is one of its options. */
function choice(field, id) {
  const required = field.nullable ? null : "true";
  const select = el("select", { id, name: field.name, autocomplete: "off", "aria-required": required },
    el("option", { value: "" }, "Choose"),
    ...field.levels.map((level) => el("option", { value: String(level) }, levelText(field, level))),
    field.nullable ? el("option", { value: NOT_KNOWN }, "not known") : null);
  const value = () => (select.value === NOT_KNOWN ? null : valueOf(field, select.value));
  const set = (to) => {
    select.value = to === null && field.nullable ? NOT_KNOWN : String(to ?? "");
    if (select.selectedIndex === -1) select.value = "";
  };
  return { inputs: [select], parts: [select], value, set };
}

/** A number; where it may be missing, a box says so. Text entry: a wheel or a locale must not change what was typed. */
function number(field, id) {
  // The decimal keyboards of phones have no minus sign.
  const keyboard = field.minimum >= 0 ? "decimal" : "text";
  const input = el("input", { id, name: field.name, type: "text", inputmode: keyboard, autocomplete: "off",
      spellcheck: "false", "aria-required": field.nullable ? null : "true" });
  if (!field.nullable) {
    const write = (to) => (input.value = String(to ?? ""));
    return { inputs: [input], parts: [input], value: () => valueOf(field, input.value), set: write };
  }
  const box = el("input", { id: `${id}-missing`, type: "checkbox", autocomplete: "off",
    "aria-label": `${field.title} is not known` });
  const follow = () => {
    input.disabled = box.checked;
    if (box.checked) input.value = "";
  };
  box.addEventListener("change", follow);
  const value = () => (box.checked ? null : valueOf(field, input.value));
  const set = (to) => {
    box.checked = to === null;
    input.value = String(to ?? "");
    follow();
  };
  const missing = el("label", { class: "inline", for: box.id }, box, " not known");
  return { inputs: [input, box], parts: [input, missing], value, set };
}
