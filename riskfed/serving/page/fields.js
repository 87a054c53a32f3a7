/** From the JSON Schema of an applicant to fields with titles and groups that a person reads. */

const MISSING_TEXTS = new Set(["", "na", "n/a", "nan", "null", "none", "."]);

/**
 * @typedef {object} Field
 * @property {string} name the schema's name
 * @property {string} title in words, wherever the field stands alone
 * @property {string} label in words, inside its group
 * @property {string} note what else the schema says, bounds included
 * @property {Array|null} levels values of a choice; null for a number
 * @property {Map<unknown, string>} levelTexts what a level means, where the description says so
 * @property {number|undefined} minimum
 * @property {number|undefined} maximum
 * @property {boolean} nullable
 */

/**
 * Fields in groups: columns that are numbered alike (pay_1, pay_2, ...) stand together.
 * @param {object} inputs JSON Schema of an applicant
 * @returns {Array<{title: string, note: string, fields: Field[]}>}
 */
export function groupsOf(inputs) {
  const required = new Set(inputs.required ?? []);
  const fields = Object.entries(inputs.properties).map(([name, schema]) => fieldOf(name, schema, required.has(name)));
  const byStem = new Map();
  for (const field of fields) {
    const stem = stemOf(field.name);
    byStem.set(stem, [...(byStem.get(stem) ?? []), field]);
  }
  const numbered = [...byStem]
    .filter(([stem, members]) => stem && members.length > 1)
    .map(([stem, members]) => numberedGroup(stem, members));
  const together = new Set(numbered.flatMap((group) => group.fields.map((field) => field.name)));
  const alone = fields.filter((field) => !together.has(field.name));
  const first = alone.length ? [{ title: numbered.length ? "General" : "Values", note: "", fields: alone }] : [];
  return [...first, ...numbered];
}

function fieldOf(name, schema, required) {
  const levels = schema.enum ? schema.enum.filter((level) => level !== null) : null;
  const nullable = !required && (schema.enum?.includes(null) || schema.type?.includes("null") || false);
  const levelTexts = levels ? textsOf(levels, schema.description ?? "") : new Map();
  const parts = levelTexts.size ? { main: "", unit: "", rest: "" } : partsOf(schema.description ?? "");
  const { main, unit, rest } = parts;
  const inWords = capitalised(name.replace(/[_-]+/g, " "));
  const described = main !== "" && !isInWords(name);
  const title = described ? capitalised(main) : inWords;
  const { minimum, maximum } = schema;
  const label = described ? withUnit(title, unit) : title;
  const field = { name, title, label, main, unit, levels, levelTexts, minimum, maximum, nullable };
  field.rest = described ? rest : [withUnit(main, unit), rest].filter(Boolean).join("; ");
  field.note = notes(field.rest, bounds(field));
  return field;
}

/** Whether a name is made of words (annual_income), and not of abbreviations (pay_amt1), for which a description is better. */
function isInWords(name) {
  return name.split(/[\s_/-]+/).every((part) => /^([a-z]{4,}|to|of|in|per|at|by|on|and|\d+[a-z]?)$/i.test(part));
}

/** "amount (EUR); negative: credit" in its parts. */
function partsOf(description) {
  const [, main, unit = "", rest] = /^([^(;]*)(?:\(([^()]*)\))?\s*;?\s*(.*)$/s.exec(description);
  return { main: main.trim(), unit, rest: rest.replace(/^[,.\s]+/, "").trim() };
}

/** "1 male, 2 female" as texts of the levels 1 and 2. */
function textsOf(levels, description) {
  const texts = new Map();
  for (const level of levels) {
    const code = String(level).replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
    const found = new RegExp(`(?:^|[,;]\\s*|\\band\\s+)${code}\\s+([^\\d\\s,;][^,;]*)`).exec(description);
    if (found) texts.set(level, found[1].trim());
  }
  return texts;
}

function numberedGroup(stem, members) {
  const words = members.map((field) => field.main.split(/\s+/).filter(Boolean));
  const common = commonWords(words);
  const named = common.join(" ").replace(/\s+(of|in|at|for|on|by)$/, "");
  const title = capitalised(named || stem.replace(/[_-]+/g, " "));
  const same = (part) => (members.every((field) => part(field) === part(members[0])) ? part(members[0]) : null);
  const [unit, rest, range] = [same((field) => field.unit), same((field) => field.rest), same(bounds)];
  const fields = members.map((field, at) => {
    const own = common.length ? words[at].slice(common.length).join(" ") : "";
    const label = capitalised(own) || field.title;
    return {
      ...field,
      label: unit === null ? withUnit(label, field.unit) : label,
      title: own ? `${title}, ${own}` : field.title,
      note: notes(rest === null ? field.rest : "", range === null ? bounds(field) : ""),
    };
  });
  return { title: withUnit(title, unit ?? ""), note: notes(rest ?? "", range ?? ""), fields };
}

function commonWords(texts) {
  const [first] = texts;
  const end = first.findIndex((word, at) => texts.some((words) => words[at] !== word));
  // A title needs something left that tells the members apart.
  return end === -1 ? [] : first.slice(0, end);
}

const stemOf = (name) => (/^(.*?)[_-]?\d+$/.exec(name)?.[1] ?? "");
const capitalised = (text) => text.charAt(0).toUpperCase() + text.slice(1);
const withUnit = (text, unit) => (unit ? `${text} (${unit})` : text);
const notes = (...parts) => parts.filter(Boolean).map(capitalised).join(". ");
const figure = (value) => new Intl.NumberFormat("en").format(value).replace("-", "−");

function bounds({ levels, minimum, maximum }) {
  if (levels) return "";
  if (minimum !== undefined && maximum !== undefined) return `${figure(minimum)} to ${figure(maximum)}`;
  if (minimum !== undefined) return `at least ${figure(minimum)}`;
  return maximum === undefined ? "" : `at most ${figure(maximum)}`;
}

/** A level as a choice shows it: with its meaning, where the schema gives one. */
export function levelText(field, level) {
  const text = field.levelTexts.get(level);
  return text ? `${level} – ${text}` : String(level);
}

/**
 * A text of a form or of a file as the value that the API takes. What is no number stays a text: the service says what is
 * wrong with it.
 * @returns {unknown} undefined where there is no text
 */
export function valueOf(field, text) {
  const trimmed = String(text).trim();
  if (field.levels) {
    const level = field.levels.find((each) => String(each) === trimmed) ?? wholeLevel(field, trimmed);
    return level ?? (trimmed || undefined);
  }
  if (trimmed === "") return undefined;
  const number = Number(trimmed.replace("−", "-").replace(/(?<=\d)[\s'’](?=\d{3}(?!\d))/g, ""));
  return Number.isFinite(number) && !/^[+-]?0[xob]/i.test(trimmed) ? number : trimmed;
}

/** Spreadsheets write whole codes as 3.0 where a column has gaps. */
function wholeLevel(field, text) {
  if (!/^-?\d+\.0+$/.test(text)) return undefined;
  return field.levels.find((level) => String(level) === text.replace(/\.0+$/, ""));
}

/** Whether a text in a file means that there is no value. */
export const isMissing = (text) => MISSING_TEXTS.has(String(text).trim().toLowerCase());
