/** Rows of a file that the analyst opens. It is read in the browser and sent nowhere; only the chosen row is scored. */

import { isMissing, valueOf } from "./fields.js";

/**
 * Rows of a CSV file (commas, semicolons or tabs, with a line of names), of a JSON array, or of one JSON object a line.
 * @param {string} text
 * @returns {Array<Record<string, unknown>>}
 * @throws {Error} with a text for the analyst, free of the file's content
 */
export function parseRows(text) {
  const start = text.replace(/^\uFEFF/, "").trimStart();
  if (start === "") throw new Error("The file is empty.");
  const rows = /^[[{]/.test(start) ? fromJson(start) : fromCsv(start);
  if (rows.length === 0) throw new Error("The file has names of columns but no row.");
  return rows;
}

function fromJson(text) {
  let parsed;
  try {
    parsed = [JSON.parse(text)].flat();
  } catch {
    try {
      const lines = text.split(/\r?\n/).filter((line) => line.trim());
      parsed = lines.map((line) => JSON.parse(line));
    } catch {
      throw new Error("The file looks like JSON but is none: it needs an array of objects, or one object a line.");
    }
  }
  // Requests of the API, which hold an applicant each, are taken as well.
  const inner = ({ applicant, customer_id: id }) => (id === undefined ? applicant : { customer_id: id, ...applicant });
  const rows = parsed.map((row) => (isRow(row?.applicant) ? inner(row) : row));
  if (!rows.every(isRow)) throw new Error("The file's JSON must be an array of objects, one for each applicant.");
  return rows;
}

const isRow = (row) => typeof row === "object" && row !== null && !Array.isArray(row);

function fromCsv(text) {
  const head = text.slice(0, text.search(/\r?\n|$/));
  const parts = (mark) => head.split(mark).length;
  const separator = [",", ";", "\t"].reduce((best, mark) => (parts(mark) > parts(best) ? mark : best));
  const [names, ...lines] = cells(text, separator);
  return lines.map((line) => {
    if (line.length !== names.length) throw new Error("A line has more, or fewer, columns than the first one.");
    // Where semicolons part the columns, a comma stands before the decimals.
    const plain = (cell) => (separator === ";" ? cell.replace(/^(\s*-?\d+),(\d+\s*)$/, "$1.$2") : cell);
    return Object.fromEntries(line.map((cell, at) => [names[at].trim(), plain(cell)]));
  });
}

/** Cells of a CSV file (RFC 4180): quoted ones may hold separators, line ends and doubled quotes. */
function cells(text, separator) {
  const pattern = new RegExp(`(?:"((?:[^"]|"")*)"|([^${separator}\\r\\n]*))(${separator}|\\r?\\n|$)`, "gy");
  const rows = [[]];
  while (pattern.lastIndex < text.length) {
    const found = pattern.exec(text);
    if (!found) throw new Error("The file cannot be read as CSV: check its quotes and line ends.");
    rows.at(-1).push(found[1] === undefined ? found[2] : found[1].replaceAll('""', '"'));
    if (found[3] !== separator) rows.push([]);
    else if (pattern.lastIndex === text.length) rows.at(-1).push("");
  }
  return rows.filter((row) => row.length > 1 || (row.length === 1 && row[0] !== ""));
}

/**
 * A row as an applicant: columns that the schema does not have are left out; a missing value is null where it may be.
 * @param {Record<string, unknown>} row
 * @param {Map<string, import("./fields.js").Field>} fields
 */
export function applicantOf(row, fields) {
  const applicant = {};
  for (const [name, field] of fields) {
    const value = row[name];
    const absent = typeof value === "string" && isMissing(value) && !field.levels?.includes(value);
    if (value === undefined || value === null || absent) {
      if (field.nullable) applicant[name] = null;
    } else {
      applicant[name] = typeof value === "string" ? valueOf(field, value) : value;
    }
  }
  return applicant;
}

/**
 * Positions of the rows that have every word of the search in some cell; `column=value` asks for a whole cell.
 * @returns {number[]}
 */
export function search(rows, words) {
  const tests = words.toLowerCase().split(/\s+/).filter(Boolean).map(testOf);
  return rows.flatMap((row, at) => (tests.every((test) => test(row)) ? [at] : []));
}

function testOf(word) {
  const [column, value] = word.split("=", 2);
  if (value === undefined) return (row) => Object.values(row).some((cell) => String(cell).toLowerCase().includes(word));
  const equal = ([name, cell]) => name.toLowerCase() === column && String(cell).toLowerCase() === value;
  return (row) => Object.entries(row).some(equal);
}

/** A row in a few words: its own columns that the schema does not have first (an account's number, say). */
export function summary(row, fields) {
  const own = Object.keys(row).filter((name) => !fields.has(name));
  const names = [...own, ...Object.keys(row).filter((name) => fields.has(name))].slice(0, 5);
  const cell = (name) => (row[name] === null || row[name] === "" ? "not known" : row[name]);
  return names.map((name) => `${name} ${cell(name)}`).join(" · ");
}
