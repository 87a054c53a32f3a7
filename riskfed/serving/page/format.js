/** Numbers as an analyst reads them. */

const plain = new Intl.NumberFormat("en", { maximumFractionDigits: 6 });
const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const tenth = new Intl.NumberFormat("en", { minimumFractionDigits: 1, maximumFractionDigits: 1 });
const minus = (text) => text.replace("-", "−");

/** A value of an applicant or of a schema; "not known" where missing. */
export function shown(value) {
  if (value === null || value === undefined) return "not known";
  return typeof value === "number" ? minus(plain.format(value)) : String(value);
}

/** A PD in [0, 1] as a percentage: one decimal from 10 %, two digits below, never rounded to 0 % or 100 %. */
export function percent(pd) {
  const share = pd * 100;
  if (share > 99.9 && share < 100) return "over 99.9 %";
  if (share >= 10 || share === 0) return `${share.toFixed(1)} %`;
  if (share < 0.001) return "under 0.001 %";
  return `${Number(share.toPrecision(2)).toFixed(decimals(share))} %`;
}

const decimals = (share) => Math.max(1, 1 - Math.floor(Math.log10(Number(share.toPrecision(2)))));

/** How often a PD means a default: "about 1 in 29"; empty where that would say less than the percentage. */
export function frequency(pd) {
  if (pd <= 0 || pd > 0.5) return "";
  return `about 1 in ${whole.format(1 / pd)} such loans`;
}

/** Points lost, or won, with their sign: "−34.2", "+12". */
export function signed(points) {
  const small = points !== 0 && Math.abs(points) < 0.1;
  const text = small || Number.isInteger(points) ? plain.format(points) : tenth.format(points);
  return points > 0 ? `+${text}` : minus(text);
}

/** "34 points more", "1 point less", "no change". */
export function change(points) {
  if (points === 0) return "no change";
  const size = Math.abs(points);
  return `${whole.format(size)} ${size === 1 ? "point" : "points"} ${points > 0 ? "more" : "less"}`;
}

/** A moment in the reader's own time zone, to the minute; the text itself where it is no date. */
export function moment(text) {
  const date = new Date(text);
  if (!text || Number.isNaN(date.getTime())) return String(text ?? "");
  return new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "short" }).format(date);
}

/** The first 12 hexadecimal digits of a sha256. */
export const short = (sha256) => String(sha256).slice(0, 12);
