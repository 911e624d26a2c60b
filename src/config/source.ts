/**
 * Puts the sources of the configuration over each other: the caller's defaults, file, environment, `--set`. What
 * comes out is still unjudged; the schema does that. No I/O: texts and variables are arguments.
 */
import type { ConfigKey } from './key.ts';
import { KEYS_BY_VARIABLE, lookupKey, refusalOfKey, refusalOfVariable } from './key.ts';
import type { Origins, Problem } from './problem.ts';
import { unreachable } from '../kernel/unreachable.ts';
import { parseYaml } from './yaml.ts';

export interface ConfigSources {
  /** The text of the YAML file, when there is one. */
  readonly fileText?: string | undefined;
  /** What problems of the file itself are reported under. */
  readonly fileName?: string | undefined;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** `store.kind=journal`, in the order in which they were given. */
  readonly sets: readonly string[];
  readonly dev: boolean;
  /** What relative paths stand under. */
  readonly cwd: string;
  /** The replica's name unless it is configured: host name and 4 random characters. */
  readonly replicaDefault: string;
}

export interface RawConfig {
  readonly tree: Readonly<Record<string, unknown>>;
  readonly origins: Origins;
  readonly problems: readonly Problem[];
  /** What the file alone says. */
  readonly fileTree: Readonly<Record<string, unknown>>;
  /** Key -> the text of the file that named variables (`${NAME}`), whose values may be secrets. */
  readonly filled: ReadonlyMap<string, string>;
  /** `bootstrap` is true because of `--dev`, unless a source says otherwise. */
  readonly isDevBootstrap: boolean;
}

export function readSources(sources: ConfigSources): RawConfig {
  const reader = new SourceReader(sources);
  reader.readFile();
  reader.readEnvironment();
  reader.readSets();
  const { tree, origins, problems, fileTree, filled } = reader;
  return { tree, origins, problems, fileTree, filled, isDevBootstrap: sources.dev };
}

/** Variables with our prefix that are not keys: the command line and the tests read them. */
const OTHER_VARIABLES = new Set(['WRIT_CONFIG', 'WRIT_OPA', 'WRIT_URL', 'WRIT_TOKEN_FILE', 'WRIT_CA_FILE']);

/** What Kubernetes and container links put into every pod for a Service called `writ` or `writ-…`. */
const SERVICE_VARIABLE =
  /^WRIT_(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)$/;

/** Collects as it goes, so that one fault never hides another. */
class SourceReader {
  tree: Readonly<Record<string, unknown>>;
  readonly origins = new Map<string, string>();
  readonly problems: Problem[] = [];
  fileTree: Readonly<Record<string, unknown>> = {};
  readonly filled = new Map<string, string>();
  readonly #sources: ConfigSources;
  readonly #variablesInFile = new Set<string>();

  constructor(sources: ConfigSources) {
    this.#sources = sources;
    this.tree = { replica: sources.replicaDefault, ...(sources.dev ? { bootstrap: true } : {}) };
  }

  readFile(): void {
    const { fileText = '', fileName = 'configuration file' } = this.#sources;
    const value = this.#clean(this.#parse(fileText, fileName) ?? {}, '', (text, path) =>
      this.#fill(text, path),
    );
    if (isMap(value)) {
      this.fileTree = value;
      this.tree = { ...this.tree, ...value };
    } else this.#refuse(fileName, 'must be a map of keys');
  }

  /** The keys' order puts a map before its members: WRIT_POLICY is read first, WRIT_POLICY_BUNDLE over it. */
  readEnvironment(): void {
    const { env } = this.#sources;
    for (const [variable, key] of KEYS_BY_VARIABLE) {
      const text = env[variable];
      if (text !== undefined) this.#put(key, text, variable);
    }
    for (const name of Object.keys(env)) {
      if (name.startsWith('WRIT_') && !this.#isKnownVariable(name))
        this.#refuse(name, refusalOfVariable(name));
    }
  }

  readSets(): void {
    for (const set of this.#sources.sets) {
      const [, path, text] = /^([^=]+)=(.*)$/s.exec(set) ?? [];
      if (path === undefined || text === undefined) {
        this.#refuse('--set', 'must be a key and a value, such as --set store.kind=journal');
        continue;
      }
      const key = lookupKey(path);
      if (key === undefined) this.#refuse(path, refusalOfKey(path));
      else if (path.includes('[')) this.#refuse(path, 'must be set with the whole list it is in');
      else this.#put(key, text, `--set ${path}`);
    }
  }

  #isKnownVariable(name: string): boolean {
    return (
      KEYS_BY_VARIABLE.has(name) ||
      OTHER_VARIABLES.has(name) ||
      this.#variablesInFile.has(name) ||
      SERVICE_VARIABLE.test(name)
    );
  }

  #put(key: ConfigKey, text: string, origin: string): void {
    const value = this.#valueOf(key, text, origin);
    if (value === undefined) return;
    const [step = '', ...rest] = key.path.split('.');
    this.tree = { ...this.tree, [step]: withValue(this.tree[step], step, rest, value) };
    this.origins.set(key.path, origin);
    for (const path of this.filled.keys()) if (isAtOrIn(path, key.path)) this.filled.delete(path);
  }

  /** Text from outside the file as the key's kind wants it; what does not fit is left for the schema to refuse. */
  #valueOf(key: ConfigKey, text: string, origin: string): unknown {
    switch (key.kind) {
      case 'text':
        return text;
      case 'boolean':
        return text === 'true' || (text === 'false' ? false : text);
      case 'listener':
        return text.trimStart().startsWith('{') ? this.#structure(text, origin) : text;
      case 'structure':
        return this.#structure(text, origin);
      /* v8 ignore next 2 */
      default:
        return unreachable(key.kind);
    }
  }

  #structure(text: string, origin: string): unknown {
    return this.#clean(this.#parse(text, origin), origin, (inner) => inner);
  }

  /** `${NAME}` inside a text of the file becomes the variable's value, which is not looked into again. */
  #fill(text: string, path: string): unknown {
    if (!text.includes('${')) return text;
    const filled = text.replace(/\$\{([^}]*)(\}?)/g, (_, name: string, end: string) => {
      if (end === '' || !/^[A-Za-z_]\w*$/.test(name)) {
        this.#refuse(path, 'must name an environment variable after ${, and end with }');
        return '';
      }
      this.#variablesInFile.add(name);
      const value = this.#sources.env[name];
      if (value === undefined)
        this.#refuse(path, `must have the environment variable ${name}, which is not set`);
      return value ?? '';
    });
    this.filled.set(path, text);
    const key = lookupKey(path);
    return key === undefined ? filled : this.#valueOf(key, filled, path);
  }

  #parse(text: string, origin: string): unknown {
    const reading = parseYaml(text);
    if (reading.ok) return reading.value;
    for (const fault of reading.faults) this.#refuse(origin, fault);
    return undefined;
  }

  /** A copy in which every text went through `onText`, and no member is called `__proto__`: zod would drop that one. */
  #clean(value: unknown, path: string, onText: (text: string, path: string) => unknown): unknown {
    if (typeof value === 'string') return onText(value, path);
    if (Array.isArray(value)) return value.map((entry, i) => this.#clean(entry, `${path}[${i}]`, onText));
    if (!isMap(value)) return value;
    const entries = Object.entries(value).flatMap(([name, member]) => {
      const at = path === '' ? name : `${path}.${name}`;
      if (name !== '__proto__') return [[name, this.#clean(member, at, onText)] as const];
      this.#refuse(at, 'is no key; remove it');
      return [];
    });
    return Object.fromEntries(entries);
  }

  #refuse(key: string, message: string): void {
    this.problems.push({ key, message });
  }
}

function isAtOrIn(path: string, key: string): boolean {
  return path === key || path.startsWith(`${key}.`) || path.startsWith(`${key}[`);
}

function isMap(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/**
 * What stands at `path`, with `value` at `steps` below it. A listener that was an address alone becomes a map with
 * that address. What else is no map stays as it is, so that the schema refuses it instead of this hiding it.
 */
function withValue(at: unknown, path: string, steps: readonly string[], value: unknown): unknown {
  const [step, ...rest] = steps;
  if (step === undefined) return value;
  const isAddress = typeof at === 'string' && lookupKey(path)?.kind === 'listener';
  const map = isAddress ? { address: at } : (at ?? {});
  return isMap(map) ? { ...map, [step]: withValue(map[step], `${path}.${step}`, rest, value) } : at;
}
