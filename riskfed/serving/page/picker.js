/** "Pick from a file": a file is read in the browser, its rows are searched, and one of them fills the form. */

import { el, put } from "./dom.js";
import { applicantOf, parseRows, search, summary } from "./rows.js";

const MOST_BYTES = 50_000_000;
const MOST_SHOWN = 20;

/** Fills `holder`; `pick(applicant, name)` gets the chosen row. `fields`: the form's, set anew whenever the form is. */
export class Picker {
  #rows = [];
  fields = new Map();

  constructor(holder, pick) {
    this.pick = pick;
    this.file = el("input", { id: "picker-file", type: "file", accept: ".csv,.tsv,.txt,.json,.ndjson,.jsonl",
        "aria-describedby": "picker-note", change: () => this.#open() });
    this.words = el("input", { id: "picker-words", type: "search", autocomplete: "off", spellcheck: "false",
        "aria-describedby": "picker-words-note", input: () => this.#show() });
    this.count = el("p", { class: "hint", role: "status" });
    this.list = el("ul", { class: "rows" });
    this.found = el("div", { hidden: true },
      el("label", { for: "picker-words" }, "Search its rows"),
      el("p", { class: "hint", id: "picker-words-note" }, "Words in any column, or column=value."),
      this.words, this.count, this.list);
    put(holder,
      el("label", { for: "picker-file" }, "File of applicants (CSV or JSON)"),
      el("p", { class: "hint", id: "picker-note" },
        "Read in this browser and not uploaded: only the row that you score is sent."),
      this.file, this.found);
  }

  async #open() {
    const [file] = this.file.files;
    if (!file) return;
    this.#rows = [];
    this.found.hidden = false;
    try {
      if (file.size > MOST_BYTES) throw new Error("The file is larger than 50 MB. Take a part of it.");
      this.#rows = parseRows(await file.text());
      this.words.value = "";
      this.#show();
    } catch (error) {
      put(this.list);
      this.count.textContent = error.message;
    }
  }

  #show() {
    const found = search(this.#rows, this.words.value);
    const total = this.#rows.length.toLocaleString("en");
    const first = found.length > MOST_SHOWN ? `, the first ${MOST_SHOWN} are shown` : "";
    this.count.textContent = `${found.length.toLocaleString("en")} of ${total} rows${first}`;
    put(this.list, ...found.slice(0, MOST_SHOWN).map((at) => el("li", {}, this.#button(at))));
  }

  #button(at) {
    const row = this.#rows[at];
    const choose = () => this.pick(applicantOf(row, this.fields), `row ${at + 1}`, String(row.customer_id ?? ""));
    return el("button", { type: "button", click: choose },
      el("b", {}, `Row ${at + 1}`), ` ${summary(row, this.fields)}`);
  }
}
