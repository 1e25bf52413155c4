// The dashboard: what the server tells becomes zones, the chosen zone becomes what is seen.
//
// Numbers are drawn when they come, at most four times a second; ages every half second. When the line
// to the server is broken the page says so, and greys what it shows: it is of the past.

import { Actions } from "./actions.js";
import { PortChart } from "./chart.js";
import { attribute, byId, el, Keyed, write } from "./dom.js";
import { duration, number } from "./format.js";
import { Lists } from "./lists.js";
import { Pools } from "./pools.js";
import { Line } from "./stream.js";
import { Tiles } from "./tiles.js";
import { Zone } from "./zone.js";

const TICK_MS = 500;
const CHART_MS = 1000;
const THEMES = ["auto", "light", "dark"];

const zones = new Map();
let chosen = null;
let link = { state: "wait", since: performance.now(), why: "" };
let drawn = 0; // when the chart was drawn
let known = { role: null };

const line = new Line({
  open() {
    setLink("live");
    byId("sign-in").hidden = true;
  },
  event(name, data) {
    take[name]?.(data);
  },
  broken(why) {
    setLink("broken", why);
  },
  refused(status, why) {
    setLink("refused");
    byId("board").hidden = true;
    byId("sign-in").hidden = false;
    byId("sign-out").hidden = true;
    write(byId("sign-in-fault"), line.token ? why : "");
    byId("token").focus();
  },
});

const actions = new Actions(line);
const tiles = new Tiles();
const chart = new PortChart();
const pools = new Pools(actions);
const lists = new Lists();
const tabs = new Keyed(byId("zones"), zoneTab);

const take = {
  hello(hello) {
    known = hello;
    actions.mayAct = hello.role === "operator";
    for (const name of [...zones.keys()].filter((one) => !hello.zones.includes(one))) zones.delete(name);
    for (const name of hello.zones) if (!zones.has(name)) zones.set(name, new Zone(name));
    if (!zones.has(chosen)) choose(hello.zones[0] ?? null);
    byId("sign-out").hidden = !line.token;
    write(byId("who"), `${hello.name}, ${hello.role} · admission ${hello.version}`);
  },
  history(history) {
    zones.get(history.zone)?.takeHistory(history);
    drawn = 0;
  },
  zone(status) {
    zones.get(status.zone)?.takeStatus(status);
    if (status.zone === chosen) show();
    else showTabs();
  },
  problem({ zone, problem }) {
    zones.get(zone)?.takeProblem(problem);
    show();
  },
};

function setLink(state, why = "") {
  if (link.state !== state) link = { state, since: performance.now(), why };
  link.why = why;
  tick();
}

function zoneTab(name) {
  const free = el("b");
  const dot = el("span", { className: "dot" });
  const element = el("button", { type: "button", className: "tab zone" }, dot, name, free);
  element.addEventListener("click", () => choose(name));
  return {
    element,
    update(zone) {
      attribute(element, "aria-pressed", name === chosen);
      dot.dataset.state = zone.state;
      const room = zone.status ? zone.pools("channel").map((pool) => (zone.blocked(pool) ? 0 : pool.room ?? 0)) : [];
      write(free, zone.status ? number(room.reduce((sum, n) => sum + n, 0)) : "–");
      attribute(element, "aria-label", `Zone ${name}: ${free.textContent} may launch, state ${zone.state}`);
    },
  };
}

function choose(name) {
  chosen = name;
  actions.zone = zones.get(name) ?? null;
  drawn = 0;
  show();
}

function showTabs() {
  tabs.update([...zones.values()], ({ name }) => name);
}

function show() {
  showTabs();
  const zone = zones.get(chosen);
  byId("board").hidden = !zone?.status || link.state === "refused";
  if (!zone?.status) return;
  showHead(zone);
  tiles.update(zone);
  pools.update(zone);
  lists.update(zone);
  if (performance.now() - drawn >= CHART_MS) {
    drawn = performance.now();
    chart.update(zone);
  }
}

const STATES = { fine: "all well", warn: "see the notes", bad: "nothing is granted" };

function showHead(zone) {
  write(byId("zone-name"), zone.name);
  write(byId("zone-state"), zone.problem ? "cannot be read" : STATES[zone.state]);
  byId("zone-state").dataset.state = zone.state;
  const button = byId("zone-pause");
  write(button, zone.isPaused("zone") ? "Resume zone" : "Pause zone");
  button.hidden = !actions.mayAct;
}

const LINKS = {
  wait: () => "Connecting",
  live: () => "Live",
  broken: () => "Not live",
  refused: () => "Signed out",
};

function tick() {
  const zone = zones.get(chosen);
  const stale = link.state === "broken" || Boolean(zone?.problem);
  attribute(byId("link"), "data-state", link.state);
  write(byId("link-text"), LINKS[link.state]());
  attribute(byId("board"), "data-stale", stale ? "" : null);
  showStale(stale, zone);
  if (link.state === "live") for (const one of zones.values()) if (one.status) one.goOn();
  if (zone?.status && !stale) show();
  document.title = link.state === "live" && zone ? `${zone.name} · admission` : `${LINKS[link.state]()} · admission`;
}

/** How old what is seen is, in words that nobody overlooks. */
function showStale(stale, zone) {
  let banner = byId("stale");
  if (!stale || byId("board").hidden) {
    banner?.remove();
    return;
  }
  if (!banner) {
    banner = el("p", { id: "stale", className: "stale", role: "alert" });
    byId("board").prepend(banner);
  }
  const since = zone?.status ? performance.now() - zone.told : performance.now() - link.since;
  const why = link.state === "broken" ? link.why : zone.problem.detail;
  write(banner, `These numbers are ${duration(5000 * Math.floor(since / 5000))} old or more. ${why}. Trying again.`);
}

byId("zone-pause").addEventListener("click", () => {
  const zone = zones.get(chosen);
  const calls = zone.pools("channel").reduce((sum, { in_use: n }) => sum + n, 0);
  actions.ask("zone", `zone ${chosen}`, { verb: "Pause", kind: "pause" }, calls);
});

byId("sign-in-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const token = byId("token").value.trim();
  byId("token").value = "";
  setLink("wait");
  line.start(token);
});

byId("sign-out").addEventListener("click", () => {
  zones.clear();
  chosen = null;
  line.start(null);
});

function setTheme(name) {
  if (name === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = name;
  write(byId("theme"), `Theme: ${name}`);
  chart.repaint();
}

byId("theme").addEventListener("click", () => {
  const now = document.documentElement.dataset.theme ?? "auto";
  setTheme(THEMES[(THEMES.indexOf(now) + 1) % THEMES.length]);
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => chart.repaint());

setInterval(tick, TICK_MS);
line.start(null);
