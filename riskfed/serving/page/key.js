/** Asks for the API key. What is typed goes to api.js, which keeps it in memory, and is wiped from the dialog. */

import { useKey } from "./api.js";
import { byId } from "./dom.js";

let then = () => {};

/** Open the dialog; `again` runs once a key is given. */
export function askForKey(reason, again) {
  then = again;
  byId("key-reason").textContent = reason;
  if (!byId("key-dialog").open) byId("key-dialog").showModal();
  byId("key-input").focus();
}

byId("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  useKey(byId("key-input").value);
  byId("key-dialog").close();
  then();
});
byId("key-cancel").addEventListener("click", () => byId("key-dialog").close());
byId("key-dialog").addEventListener("close", () => (byId("key-input").value = ""));
