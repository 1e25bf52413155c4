// Tiles: launches available on each channel, decisions per second, age of the port count.

import { bar, byId, el, Keyed, write } from "./dom.js";
import { channelName, duration, number, rate } from "./format.js";

const BLOCKED = {
  zone_paused: "zone paused", pool_paused: "paused", recovering: "recovering",
  no_snapshot: "no port count yet", stale_snapshot: "count too old",
};

function big(label) {
  const value = el("b", { className: "big" });
  return { value, element: el("p", { className: "figure" }, value, el("span", { className: "unit", textContent: label })) };
}

function channelTile(channel) {
  const may = big("may launch");
  const free = big("ports free");
  const usage = bar(`${channelName(channel)} in use`);
  const line = el("p", { className: "muted" });
  const mark = el("span", { className: "mark" });
  const element = el("article", { className: "tile channel" },
    el("h3", {}, channelName(channel), " ", mark), el("div", { className: "pair" }, may.element, free.element),
    usage.element, line);
  return {
    element,
    update([zone, pool]) {
      const blocked = zone.blocked(pool);
      write(may.value, number(blocked ? 0 : pool.room));
      write(free.value, number(pool.snapshot?.unused));
      write(mark, blocked ? BLOCKED[blocked] : "");
      element.dataset.level = blocked ? "bad" : pool.room === 0 ? "warn" : "fine";
      const pending = pool.pending ?? 0;
      usage.update(pool.in_use, pool.limit, `${pool.in_use} of ${number(pool.limit)} in use`, pending);
      const reserved = pool.headroom ? ` · ${number(pool.headroom)} reserved` : "";
      write(line, `${number(pool.in_use)} of ${number(pool.limit)} in use · ${number(pending)} just launched${reserved}`);
    },
  };
}

function flowTile() {
  const granted = big("granted / s");
  const denied = big("denied / s");
  const line = el("p", { className: "muted" });
  const element = el("article", { className: "tile" }, el("h3", { textContent: "Last 10 s" }),
    el("div", { className: "pair" }, granted.element, denied.element), line);
  return {
    element,
    update(zone) {
      const { over_ms: ms, granted: grants, denied: denies } = zone.status.decisions;
      const all = Object.values(denies).reduce((sum, n) => sum + n, 0);
      const perSecond = (n) => rate(ms ? (1000 * n) / ms : 0);
      write(granted.value, perSecond(grants));
      write(denied.value, perSecond(all));
      const { waiters, longest_wait_ms: longest } = zone.status;
      write(line, waiters
        ? `${number(waiters)} waiting for room, the longest for ${duration(zone.currentAge(longest))}`
        : "No request waits for room");
    },
  };
}

function ageTile() {
  const age = big("old");
  const line = el("p", { className: "muted" });
  const usage = bar("Age of the port count");
  const element = el("article", { className: "tile" }, el("h3", { textContent: "Port count" }),
    el("div", { className: "pair" }, age.element), usage.element, line);
  return {
    element,
    update(zone) {
      const ages = zone.pools("channel").map((pool) => zone.snapshotAge(pool)).filter((one) => one !== null);
      element.hidden = !ages.length;
      if (!ages.length) return;
      const oldest = Math.max(...ages);
      const most = zone.status.max_age_ms;
      write(age.value, duration(oldest));
      const rounded = Math.round(oldest / 100) * 100;
      usage.update(Math.min(rounded, most), most, `${duration(oldest)} of ${duration(most)}`);
      element.dataset.level = oldest > most ? "bad" : oldest > most / 2 ? "warn" : "fine";
      write(line, oldest > most ? "Too old: no launches granted" : `Grants stop when it is ${duration(most)} old`);
    },
  };
}

export class Tiles {
  constructor() {
    const parent = byId("tiles");
    this.channels = new Keyed(el("div", { className: "channels" }), channelTile);
    this.flow = flowTile();
    this.age = ageTile();
    parent.append(this.channels.parent, this.flow.element, this.age.element);
  }

  update(zone) {
    this.channels.update(zone.channels.map((pool) => [zone, pool]), ([, pool]) => pool.pool.slice(8));
    this.flow.update(zone);
    this.age.update(zone);
  }
}
