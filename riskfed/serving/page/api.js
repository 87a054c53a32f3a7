/**
 * The service's API. The key lives in this module's memory alone: neither in storage, nor in a cookie, nor in an address.
 */

const PATIENCE_MS = 15_000;
let key = "";
let language = "";

/** Use this API key, or access token, from now on; empty for none. */
export function useKey(text) {
  key = text.trim();
}

/** Whether a key is in use. */
export const hasKey = () => key !== "";

/** Ask for texts in this language; empty leaves the choice to the browser's settings. */
export function useLanguage(tag) {
  language = tag;
}

/** An answer that is none: RFC 9457 problem details, or what stands for them where there are none. */
export class Problem extends Error {
  /**
   * @param {{status: number, title: string, detail: string, errors?: Array, retryAfter?: number|null}} fields
   *   status 0: no answer
   */
  constructor({ status, title, detail, errors = [], retryAfter = null }) {
    super(title);
    Object.assign(this, { status, title, detail, errors, retryAfter });
  }
}

/** The models that are served. */
export const models = async () => (await ask("GET", "v1/models")).body.models;

/** One version's schema, scale, figures and card. */
export const model = async (version) => (await ask("GET", `v1/models/${encodeURIComponent(version)}`)).body;

/**
 * Score one applicant with the champion. The language of the reasons is added as `language`.
 * @param {string} customer the id by which the model's partners know the applicant; empty for none
 */
export async function score(applicant, customer) {
  const named = customer ? { customer_id: customer } : {};
  const { body, headers } = await ask("POST", "v1/score", { ...named, applicant });
  return { ...body, language: headers.get("Content-Language") ?? "" };
}

/** What would change a score, by the version that gave it. */
export async function whatIf(applicant, version) {
  const { body, headers } = await ask("POST", "v1/score:what-if", { applicant, model_version: version });
  return { ...body, language: headers.get("Content-Language") ?? "" };
}

async function ask(method, path, body) {
  const headers = { Accept: "application/json, application/problem+json" };
  if (key) headers.Authorization = `Bearer ${key}`;
  if (language) headers["Accept-Language"] = language;
  if (body) headers["Content-Type"] = "application/json";
  let response;
  let answer;
  try {
    response = await fetch(path, {
      method,
      headers,
      body: body && JSON.stringify(body),
      cache: "no-store",
      redirect: "error",
      referrerPolicy: "no-referrer",
      signal: AbortSignal.timeout(PATIENCE_MS),
    });
    answer = await response.json().catch(() => null);
  } catch {
    const detail = "The service cannot be reached. Check the connection and try again.";
    throw new Problem({ status: 0, title: "No answer", detail });
  }
  if (!response.ok || answer === null) throw problemOf(response, answer);
  return { body: answer, headers: response.headers };
}

function problemOf(response, answer) {
  const told = answer ?? {};
  const status = response.status;
  const retryAfter = Number(response.headers.get("Retry-After")) || null;
  const wait = retryAfter ? ` Try again in ${retryAfter} ${retryAfter === 1 ? "second" : "seconds"}.` : "";
  const detail = [EXPLAINED[status], told.detail].filter(Boolean).join(" ") || "The service gave no reason.";
  const title = told.title ?? `Answer ${status}`;
  return new Problem({ status, title, detail: detail + wait, errors: told.errors ?? [], retryAfter });
}

/** What an analyst can do about it; the service's own words follow. */
const EXPLAINED = {
  401: "The service needs an API key.",
  403: "This key may not do that. Ask the service's operator for one with the scopes score and models.",
  429: "Too many requests with this key.",
  500: "The service failed. Nothing was decided; tell its operator.",
  503: "The service cannot score at the moment. Nothing was decided.",
};
