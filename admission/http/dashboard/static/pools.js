// MPPs, campaigns, trunks and other pools: meters of in_use of limit, each with a pause button.

import { attribute, bar, byId, el, Keyed, write } from "./dom.js";
import { channelName, clock, number } from "./format.js";

const SHOWN_MAX = 100;

/** One meter with its numbers. */
function usage(label) {
  const shown = bar(label);
  const numbers = el("span", { className: "numbers" });
  const element = el("span", { className: "usage" }, shown.element, numbers);
  return {
    element,
    update(pool) {
      const over = pool.limit !== null && pool.in_use > pool.limit;
      const text = pool.limit === null ? `${number(pool.in_use)}, no limit` : `${number(pool.in_use)} / ${number(pool.limit)}`;
      shown.update(pool.in_use, pool.limit, `${pool.in_use} of ${number(pool.limit)} in use`);
      write(numbers, text);
      attribute(element, "data-over", over ? "" : null);
    },
  };
}

class Row {
  /** pool: the pool that its button pauses; labels: one for each meter. */
  constructor(actions, { pool, name, words, labels }) {
    this.actions = actions;
    this.pool = pool;
    this.name = name;
    this.words = words;
    this.mark = el("span", { className: "mark" });
    this.usages = labels.map((label) => usage(label ? `${name} ${label}` : name));
    this.button = el("button", { type: "button", className: "quiet small" });
    this.button.addEventListener("click", () => actions.ask(this.pool, this.name, this.words, this.inUse));
    const bars = el("span", { className: "bars" });
    labels.forEach((label, n) => bars.append(...(label ? [el("span", { className: "label", textContent: label })] : []), this.usages[n].element));
    bars.classList.toggle("labelled", labels.some(Boolean));
    this.element = el("li", {}, el("span", { className: "name" }, el("span", { textContent: name }), this.mark), bars, this.button);
  }

  update({ zone, pools }) {
    const paused = zone.isPaused(this.pool);
    this.inUse = pools.reduce((sum, { in_use: n }) => sum + n, 0);
    pools.forEach((pool, n) => this.usages[n].update(pool));
    write(this.mark, paused ? this.words.state(this.inUse) : temporary(pools));
    attribute(this.element, "data-paused", paused ? "" : null);
    const verb = paused ? "Resume" : this.words.verb;
    write(this.button, verb);
    attribute(this.button, "aria-label", `${verb} ${this.name}`);
    this.button.hidden = !this.actions.mayAct;
  }
}

function temporary(pools) {
  const until = pools.find((pool) => pool.temporary_limit_until)?.temporary_limit_until;
  return until ? `limited until ${clock(until)}` : "";
}

const PAUSE = { verb: "Pause", state: () => "paused", kind: "pause" };
const DRAIN = { verb: "Drain", state: (n) => (n ? `draining: ${number(n)} left` : "drained"), kind: "drain" };

export class Pools {
  constructor(actions) {
    this.rows = (id, describe) => new Keyed(byId(id), (key) => new Row(actions, describe(key)));
    this.mpps = this.rows("mpps", (key) => {
      const [mpp, ...channels] = key.split(":");
      return { pool: `mpp:${mpp}`, name: mpp, words: DRAIN, labels: channels.map(channelName) };
    });
    const plain = (name) => ({ name, words: PAUSE, labels: [""] });
    this.campaigns = this.rows("campaigns", (pool) => ({ pool, ...plain(pool.slice(9)) }));
    this.others = this.rows("others", (pool) => ({ pool, ...plain(pool.replace(":", " ")) }));
    this.find = byId("find");
    this.find.addEventListener("input", () => this.zone && this.update(this.zone));
  }

  update(zone) {
    this.zone = zone;
    this.updateMpps(zone);
    const campaigns = zone.pools("campaign");
    byId("campaigns-card").hidden = !campaigns.length;
    this.fill(this.campaigns, "campaigns-more", zone, campaigns);
    this.updateOthers(zone);
  }

  updateMpps(zone) {
    const found = new Map();
    for (const pool of zone.pools("mpp")) {
      const name = pool.pool.split(":")[1];
      found.set(name, [...(found.get(name) ?? []), pool]);
    }
    byId("mpps-card").hidden = !found.size;
    const rows = [...found].map(([mpp, all]) => {
      const used = all.filter((pool) => pool.capacity || pool.in_use);
      return { zone, mpp, pools: used.length ? used : all };
    });
    this.mpps.update(rows, ({ mpp, pools }) => [mpp, ...pools.map((pool) => pool.pool.split(":")[2])].join(":"));
  }

  updateOthers(zone) {
    const all = zone.others;
    const wanted = all.filter(({ pool }) => pool.includes(this.find.value.trim()));
    byId("others-card").hidden = !all.length;
    this.find.parentElement.hidden = all.length <= 8;
    this.fill(this.others, "others-more", zone, wanted);
  }

  /** At most SHOWN_MAX rows; if there are more, those with most calls. */
  fill(rows, moreId, zone, all) {
    const busy = all.length > SHOWN_MAX ? [...all].sort((a, b) => b.in_use - a.in_use) : all;
    rows.update(busy.slice(0, SHOWN_MAX).map((pool) => ({ zone, pools: [pool] })), poolKey);
    const hidden = all.length - SHOWN_MAX;
    write(byId(moreId), hidden > 0 ? `and ${number(hidden)} more with fewer calls` : "");
  }
}

const poolKey = ({ pools: [pool] }) => pool.pool;
