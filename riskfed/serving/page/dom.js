/** Elements without markup in strings: text is always set as text, so no value is ever read as HTML. */

/**
 * Make an element.
 * @param {string} tag
 * @param {Record<string, unknown>} attributes `class`, `hidden`, `aria-...`; a function becomes a listener of that event;
 *   false, null and undefined leave the attribute out.
 * @param {...(Node|string|null|undefined)} children
 * @returns {HTMLElement}
 */
export function el(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** As `el`, for drawings. */
export function svg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, String(value));
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** The element of the page with this id. */
export const byId = (id) => document.getElementById(id);

/** Put children in place of what an element holds. */
export function put(element, ...children) {
  element.replaceChildren(...children.filter((child) => child !== null && child !== undefined));
}

let spoken = false;

/** Say something to a screen reader; a changing last character makes it read the same words again. */
export function say(text) {
  spoken = !spoken;
  byId("status").textContent = spoken ? text : `${text}\u00a0`;
}

/** A button that copies a text, by its name; without a secure context there is no clipboard: the text is selected. */
export function copyButton(text, name, shown) {
  const button = el("button", { type: "button", class: "quiet small", "aria-label": `Copy ${name}` }, "Copy");
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text);
      say(`Copied ${name}`);
      button.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(shown);
      say(`${name} is selected; copy it with the keyboard`);
      button.textContent = "Selected";
    }
    setTimeout(() => (button.textContent = "Copy"), 2000);
  });
  return button;
}

/** A table with a caption for screen readers; cells that are numbers are set to the right. */
export function table(caption, heads, rows) {
  const cell = (value, at) => {
    const numeric = typeof value === "number" || /^[−+]?[\d,.]+( ?%)?$/.test(String(value));
    const attributes = { scope: at === 0 ? "row" : null, class: numeric ? "number" : null };
    return el(at === 0 ? "th" : "td", attributes, String(value));
  };
  return el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption },
    el("table", {},
      el("caption", { class: "visually-hidden" }, caption),
      el("thead", {}, el("tr", {}, ...heads.map((head) => el("th", { scope: "col" }, head)))),
      el("tbody", {}, ...rows.map((row) => el("tr", {}, ...row.map(cell))))));
}
