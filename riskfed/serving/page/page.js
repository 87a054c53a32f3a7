/** The page: joins form, result, what-if and card; keeps what is known of the applicant at hand, in memory alone. */

import * as api from "./api.js";
import { modelLine, showCard } from "./card.js";
import { byId, el, put, say } from "./dom.js";
import { ApplicantForm } from "./form.js";
import { askForKey } from "./key.js";
import { Picker } from "./picker.js";
import { clearProblem, showProblem } from "./problem.js";
import { showResult, spokenResult, triedBanner } from "./result.js";
import { showWhatIf } from "./what_if.js";

let model = null;
let form = null;
let picker = null;
/** The applicant's own values of the fields that were changed to try something out, and the score with them. */
let own = new Map();
let ownScore = null;
/** The applicant, as JSON, whose score is shown. */
let scored = null;
/** Counts scores: an answer to an older question is not shown. */
let asked = 0;

/** Load the champion and build the page around it. */
async function load() {
  try {
    const served = await api.models();
    const champion = served.find((each) => each.role === "champion") ?? served[0];
    model = await api.model(champion.version);
    clearProblem(byId("page-problem"));
  } catch (problem) {
    return failed(problem, byId("page-problem"), load);
  }
  const before = form?.read().applicant;
  form = new ApplicantForm(byId("fields"), model.inputs);
  if (before) form.write(before);
  picker ??= new Picker(byId("picker"), pick);
  picker.fields = form.fields;
  byId("model-line").textContent = modelLine(model);
  offerCustomer(model.partners ?? []);
  offerLanguages(model.languages ?? []);
  showCard(byId("card-body"), model, form.fields);
  byId("desk").hidden = false;
}

/** A joint model's partners are asked by the customer's id. */
function offerCustomer(partners) {
  byId("customer").hidden = partners.length === 0;
  byId("customer-note").textContent = `By which ${partners.join(" and ")} knows the applicant; asked for nothing else. `
    + "Without it, the score comes from the bank's own data alone.";
}

const customer = () => (byId("customer").hidden ? "" : byId("customer-id").value.trim());

/** What is scored, to tell whether it was changed since. */
const question = (applicant) => JSON.stringify([customer(), applicant]);

function offerLanguages(tags) {
  const choice = byId("language");
  const before = choice.value;
  const names = new Intl.DisplayNames(["en"], { type: "language", fallback: "code" });
  put(choice, ...tags.map((tag) => el("option", { value: tag }, names.of(tag))));
  byId("language-choice").hidden = tags.length < 2;
  const wished = [before, ...navigator.languages].find((tag) => tags.includes(tag));
  if (wished) choice.value = wished;
  if (tags.length > 1) api.useLanguage(choice.value);
}

/** Score what stands in the form. */
async function score() {
  const turn = (asked += 1);
  const { applicant, problems } = form.read();
  form.clearProblems();
  clearProblem(byId("result-problem"));
  byId("result").setAttribute("aria-busy", "true");
  try {
    if (problems.length) throw unanswered(problems);
    const answer = await api.score(applicant, customer());
    if (turn !== asked) return;
    if (answer.model.sha256 !== model.sha256) await renew();
    show(answer, applicant);
    await showChange(applicant, answer, turn);
  } catch (problem) {
    if (turn !== asked) return;
    clearResult("No score for these values.");
    failed(problem, byId("result-problem"), score);
  } finally {
    if (turn === asked) byId("result").removeAttribute("aria-busy");
  }
}

function unanswered(errors) {
  return new api.Problem({ status: 422, title: "Some values are open", detail: "Nothing was sent.", errors });
}

/** Another model took over since the form was made: make it anew, with the same values. */
async function renew() {
  await load();
  say("Another model is in use now; the form and the card are its own.");
}

function show(answer, applicant) {
  if (own.size === 0) ownScore = answer.score;
  const tried = triedBanner(own, ownScore, answer.score, { applicant, fields: form.fields, back: backToOwn });
  showResult(byId("result-body"), answer, { applicant, fields: form.fields, scale: model.scale, tried });
  form.markTried(own);
  scored = question(applicant);
  noteChange();
  say(spokenResult(answer));
  // On a narrow screen the result lies below the form.
  if (matchMedia("(max-width: 60rem)").matches) byId("result").scrollIntoView();
}

async function showChange(applicant, answer, turn) {
  byId("what-if").hidden = false;
  try {
    const found = await api.whatIf(applicant, answer.model.version);
    if (turn === asked) showWhatIf(byId("what-if-body"), found, { fields: form.fields, use });
  } catch (problem) {
    if (turn === asked) {
      put(byId("what-if-body"));
      failed(problem, byId("what-if-body"), score);
    }
  }
}

/** Try another value of one field out. */
function use(name, value) {
  const before = form.read().applicant[name] ?? null;
  if (!own.has(name)) own.set(name, before);
  if (own.get(name) === value) own.delete(name);
  form.write({ [name]: value }, { only: false });
  byId("result").focus();
  score();
}

function backToOwn() {
  form.write(Object.fromEntries(own), { only: false });
  forgetTried();
  byId("result").focus();
  score();
}

function forgetTried() {
  own = new Map();
  ownScore = null;
  form.markTried(own);
}

/** Put another applicant into the form; what was known of the last one goes. */
function pick(applicant, name, id = "") {
  form.write(applicant);
  byId("customer-id").value = id;
  clear();
  say(`The form holds ${name}.`);
  byId("score-button").focus();
}

function clear() {
  asked += 1;
  forgetTried();
  byId("result").removeAttribute("aria-busy");
  clearProblem(byId("result-problem"));
  clearResult("No score yet: press Score.");
}

function clearResult(text) {
  scored = null;
  byId("what-if").hidden = true;
  put(byId("what-if-body"));
  put(byId("result-body"), el("p", { class: "soft" }, text));
}

/** A value was typed: it is the applicant's own from now on. */
function edited({ target }) {
  if (own.delete(target.name)) form.markTried(own);
  ownScore = null;
  noteChange();
}

/** Say so where the form holds other values than those that were scored. */
function noteChange() {
  if (scored === null) return;
  const changed = question(form.read().applicant) !== scored;
  put(byId("result-problem"), changed ? el("p", { class: "notice" }, "The form was changed since this score.") : null);
}

/** Show a problem where it belongs; without a key, ask for one and do it again. */
function failed(problem, holder, again) {
  if (!(problem instanceof api.Problem)) throw problem;
  if (problem.status === 401) {
    askForKey(api.hasKey() ? "The service does not take this key." : "The service needs an API key.", again);
  }
  showProblem(holder, form, problem);
}

byId("applicant-form").addEventListener("submit", (event) => {
  event.preventDefault();
  score();
});
byId("applicant-form").addEventListener("input", edited);
byId("clear-button").addEventListener("click", () => {
  form.write({});
  byId("customer-id").value = "";
  clear();
});
byId("example-button").addEventListener("click", () => pick(model.example, "the example"));
byId("file-button").addEventListener("click", ({ currentTarget: button }) => {
  const open = byId("picker").hidden;
  byId("picker").hidden = !open;
  button.setAttribute("aria-expanded", String(open));
  if (open) byId("picker-file").focus();
});
byId("key-button").addEventListener("click", () => askForKey("", load));
byId("language").addEventListener("change", ({ target }) => {
  api.useLanguage(target.value);
  if (byId("score")) score();
});
load();
