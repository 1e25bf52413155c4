// Numbers, times and names in human-readable form.

import { REASONS } from "./reasons.js";

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const tenth = new Intl.NumberFormat("en", { maximumFractionDigits: 1, minimumFractionDigits: 1 });

export const number = (n) => (n === null || n === undefined ? "–" : whole.format(n));

export function rate(perSecond) {
  return perSecond >= 100 ? whole.format(perSecond) : tenth.format(perSecond);
}

/** How long ago, in whole seconds. */
export const ago = (ms) => (ms < 1000 ? "now" : duration(Math.floor(Math.max(ms, 0) / 1000) * 1000).replace(".0 s", " s"));

export function duration(ms) {
  const s = Math.max(0, ms) / 1000;
  if (s < 10) return `${tenth.format(s)} s`;
  if (s < 120) return `${whole.format(s)} s`;
  if (s < 7200) return `${whole.format(Math.floor(s / 60))} min`;
  return `${whole.format(Math.floor(s / 3600))} h`;
}

export function clock(ms) {
  return new Date(ms).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
}

const CHANNELS = { sip: "SIP", h323: "H.323", ivr: "IVR", voice: "Voice", web: "Web" };

export const channelName = (channel) => CHANNELS[channel] ?? channel;

export const groupName = (group) => group.split("+").map(channelName).reverse().join(" + ");

/** "mpp:mpp1:sip" -> "MPP mpp1 (SIP)". */
export function poolName(pool) {
  const [kind, name, channel] = pool.split(":");
  if (name === undefined) return kind === "zone" ? "The zone" : kind;
  if (kind === "channel") return channelName(name);
  if (kind === "mpp") return channel ? `MPP ${name} (${channelName(channel)})` : `MPP ${name}`;
  return `${kind} ${pool.slice(kind.length + 1)}`;
}

export function reason(code, pool) {
  const [ofPool, general] = REASONS[code] ?? Array(2).fill(code.replaceAll("_", " "));
  const words = pool ? ofPool.replace("{pool}", poolName(pool)) : general;
  return words[0].toUpperCase() + words.slice(1);
}
