// Pause and resume: the user confirms, the API acts.

import { byId, write } from "./dom.js";
import { number } from "./format.js";
import { detail } from "./stream.js";

const calls = (n) => (n === 1 ? "Its one call continues until it ends." : `Its ${number(n)} calls continue until they end.`);
const TEXTS = {
  pause: (n) => `No launch is granted there until an operator resumes it. ${n ? calls(n) : "It has no calls now."}`,
  drain: (n) => `No new call is placed there until an operator resumes it. ${n ? calls(n) : "It has no calls now: it is drained."}`,
  resume: () => "Launches are granted there again, at once.",
};

export class Actions {
  constructor(stream) {
    this.stream = stream;
    this.zone = null;
    this.mayAct = false;
    this.dialog = byId("confirm");
    byId("confirm-no").addEventListener("click", () => this.dialog.close());
    byId("confirm-yes").addEventListener("click", () => this.perform());
  }

  /** Ask the user whether to pause, drain or resume a pool, or the zone. */
  ask(pool, name, words, inUse) {
    const paused = this.zone.isPaused(pool);
    const verb = paused ? "Resume" : words.verb;
    this.wanted = { pool, path: paused ? "resume" : "pause", zone: this.zone.name };
    write(byId("confirm-title"), `${verb} ${name}?`);
    write(byId("confirm-text"), TEXTS[paused ? "resume" : words.kind](inUse));
    write(byId("confirm-fault"), "");
    write(byId("confirm-yes"), verb);
    byId("confirm-yes").classList.toggle("danger", !paused);
    this.dialog.showModal();
    byId("confirm-no").focus();
  }

  async perform() {
    const { pool, path, zone } = this.wanted;
    const place = pool === "zone" ? "" : `/pools/${encodeURIComponent(pool)}`;
    const yes = byId("confirm-yes");
    yes.disabled = true;
    try {
      const answer = await fetch(`v1/zones/${encodeURIComponent(zone)}${place}/${path}`, { method: "POST", headers: this.stream.headers() });
      if (!answer.ok) throw new Error(await detail(answer));
      this.dialog.close();
    } catch (fault) {
      write(byId("confirm-fault"), `The request failed: ${fault.message}`);
    } finally {
      yes.disabled = false;
    }
  }
}
