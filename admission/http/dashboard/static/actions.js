// Pausing and resuming: always asked for confirmation, answered by the API.

import { byId, write } from "./dom.js";
import { number } from "./format.js";
import { detail } from "./stream.js";

const calls = (n) => (n === 1 ? "Its one call goes on and ends by itself." : `Its ${number(n)} calls go on and end by themselves.`);
const TEXTS = {
  pause: (n) => `Nothing is granted there until somebody resumes it. ${n ? calls(n) : "It has no calls now."}`,
  drain: (n) => `No new call goes there until somebody resumes it. ${n ? calls(n) : "It has no calls now: it is drained at once."}`,
  resume: () => "Launches are granted there again, at once.",
};

export class Actions {
  constructor(line) {
    this.line = line;
    this.zone = null;
    this.mayAct = false;
    this.dialog = byId("confirm");
    byId("confirm-no").addEventListener("click", () => this.dialog.close());
    byId("confirm-yes").addEventListener("click", () => this.perform());
  }

  /** Ask whether to pause, drain or resume a pool, or the zone. */
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
      const answer = await fetch(`v1/zones/${encodeURIComponent(zone)}${place}/${path}`, { method: "POST", headers: this.line.headers() });
      if (!answer.ok) throw new Error(await detail(answer));
      this.dialog.close();
    } catch (fault) {
      write(byId("confirm-fault"), `It did not happen: ${fault.message}`);
    } finally {
      yes.disabled = false;
    }
  }
}
