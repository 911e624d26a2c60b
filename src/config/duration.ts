/** Durations as the configuration spells them: a whole number and a unit, `500ms`, `3s`, `10m`, `24h`. */

const UNIT_MS = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 } as const;

const DURATION = /^(0|[1-9]\d{0,8})(ms|s|m|h)$/;

/** Milliseconds, or undefined when it is no duration. A bare number is none: its unit would be a guess. */
export function parseDuration(text: string): number | undefined {
  const match = DURATION.exec(text);
  if (match === null) return undefined;
  return Number(match[1]) * UNIT_MS[match[2] as keyof typeof UNIT_MS];
}
