/** Reads Prometheus text format 0.0.4 as a scraper does; throws for what is not of the format. */

export interface Sample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

export interface Family {
  readonly type: string;
  readonly help: string;
  readonly samples: readonly Sample[];
}

const SAMPLE = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$/;
const LABEL = /([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(?:,|$)/gy;

export function parsePrometheus(text: string): ReadonlyMap<string, Family> {
  const families = new Map<string, { type: string; help: string; samples: Sample[] }>();
  let current = '';
  for (const line of text.split('\n').filter((one) => one !== '')) {
    const [, kind, name = '', rest = ''] = /^# (HELP|TYPE) (\S+) (.*)$/.exec(line) ?? [];
    if (kind === undefined) {
      const sample = parseSample(line);
      const family = families.get(current);
      if (family === undefined || !belongs(sample.name, current, family.type))
        throw new Error(`no family of ${line}`);
      family.samples.push(sample);
      continue;
    }
    current = name;
    const family = families.get(name) ?? { type: '', help: '', samples: [] };
    if (kind === 'TYPE') family.type = rest;
    else family.help = rest;
    families.set(name, family);
  }
  return families;
}

function belongs(name: string, family: string, type: string): boolean {
  if (type !== 'histogram') return name === family;
  return ['_bucket', '_sum', '_count'].some((suffix) => name === family + suffix);
}

function parseSample(line: string): Sample {
  const [, name, labels = '', text = ''] = SAMPLE.exec(line) ?? [];
  const value = text === '+Inf' ? Infinity : Number(text);
  if (name === undefined || Number.isNaN(value)) throw new Error(`not a sample: ${line}`);
  return { name, labels: parseLabels(labels), value };
}

function parseLabels(text: string): Record<string, string> {
  const labels: Record<string, string> = {};
  LABEL.lastIndex = 0;
  let at = 0;
  for (let match = LABEL.exec(text); match !== null; match = LABEL.exec(text)) {
    labels[match[1] ?? ''] = match[2] ?? '';
    at = LABEL.lastIndex;
  }
  if (at !== text.length) throw new Error(`not labels: ${text}`);
  return labels;
}

/** The value of the one sample with exactly these labels; undefined when there is none. */
export function valueOf(
  families: ReadonlyMap<string, Family>,
  name: string,
  labels: Readonly<Record<string, string>> = {},
): number | undefined {
  const family = families.get(name.replace(/_(bucket|sum|count)$/, '')) ?? families.get(name);
  const key = JSON.stringify(Object.entries(labels).toSorted());
  return family?.samples.find(
    (sample) => sample.name === name && JSON.stringify(Object.entries(sample.labels).toSorted()) === key,
  )?.value;
}
