/**
 * What a line of the decision log must not say. Erased: members that were configured, and whatever reads like a signed
 * token, wherever it is. Masked: subjects, where they are wanted as pseudonyms. What was presented as a credential is
 * not there to begin with. OPA's words: `erased` and `masked` name what was done, by JSON pointer.
 */
import { hmacSha256, toBase64Url } from '../../kernel/digest.ts';

/** A line before it is text. */
export type Event = Record<string, unknown>;

export interface MaskOptions {
  /** JSON pointers (RFC 6901), `/input/context/ip`. `*` stands for every member of what is there. */
  readonly pointers: readonly string[];
  /** With one, subjects are shown as HMACs under it: the same subject, the same pseudonym, on every replica of the fleet. */
  readonly pseudonymKey: Uint8Array | undefined;
}

/** Where subjects are. Claims may name the person in any of them, so all are erased. */
const SUBJECTS = [
  '/subject',
  '/agent',
  '/input/subject',
  '/input/subject/id',
  '/input/credential/actors/*/subject',
];
const CLAIMS = '/input/credential/claims';

/** Where AuthZEN has it; the OPA Data API lets a caller put it there too. */
const PRESENTED = '/input/context/credential';

export class DecisionMask {
  readonly #erased: readonly (readonly string[])[];
  readonly #pseudonymKey: Uint8Array | undefined;

  constructor({ pointers, pseudonymKey }: MaskOptions) {
    const claims = pseudonymKey === undefined ? [] : [CLAIMS];
    this.#erased = [PRESENTED, ...pointers, ...claims].map(stepsOf);
    this.#pseudonymKey = pseudonymKey;
  }

  /** The line's text. `event` is this caller's own: it is changed. */
  render(event: Event): string {
    const erased = [...((event['erased'] ?? []) as readonly string[])];
    const masked: string[] = [];
    for (const steps of this.#erased) erase(event, steps, '', erased);
    const key = this.#pseudonymKey;
    if (key !== undefined) for (const subject of SUBJECTS) mask(event, stepsOf(subject), '', { key, masked });
    const text = JSON.stringify(event);
    if (hasToken(text)) eraseTokens(event, '', erased);
    if (erased.length === 0 && masked.length === 0) return text;
    if (erased.length > 0) event['erased'] = erased.slice(0, NAMED_MAX);
    if (masked.length > 0) event['masked'] = masked.slice(0, NAMED_MAX);
    return JSON.stringify(event);
  }
}

/** Pointers that one line names: what is erased beyond them is erased all the same. */
const NAMED_MAX = 100;

/**
 * A JWS or JWE, whatever it is glued to (`%20eyJ…`, `token_eyJ…`): three runs of base64url with dots in between, and in
 * the first of them what a JSON object starts with, `{` and then `"`, a space or a line break. Linear: a run is tried at
 * its start only, and nothing fails after the look-ahead but the search for that beginning.
 */
const TOKEN = /(?<![\w-])(?=[\w-]*\.[\w-]*\.)[\w-]*?(?:eyJ|eyA[gi]|ew[0ko][giJKN])[\w-]*\.[\w-]*\.[\w-]*/;

function stepsOf(pointer: string): readonly string[] {
  return pointer
    .split('/')
    .slice(1)
    .map((step) => step.replaceAll('~1', '/').replaceAll('~0', '~'));
}

/** Most texts have no dot. */
function hasToken(text: string): boolean {
  return text.includes('.') && TOKEN.test(text);
}

/** A member whose name is a token has none in a pointer. */
function pointerOf(at: string, step: string): string {
  return hasToken(step) ? `${at}/-` : `${at}/${step.replaceAll('~', '~0').replaceAll('/', '~1')}`;
}

type Members = Record<string, unknown>;

function isMembers(value: unknown): value is Members {
  return typeof value === 'object' && value !== null;
}

/** Objects of the caller are never changed: each step on the way is a copy of this line's own. */
function enter(at: Members, step: string): Members | undefined {
  const inner = at[step];
  if (!isMembers(inner)) return undefined;
  const copy = (Array.isArray(inner) ? [...(inner as unknown[])] : { ...inner }) as Members;
  at[step] = copy;
  return copy;
}

function namesOf(at: Members, step: string): readonly string[] {
  if (step === '*') return Object.keys(at).filter((name) => at[name] !== undefined);
  // What is undefined has no place in the line.
  return Object.hasOwn(at, step) && at[step] !== undefined ? [step] : [];
}

function erase(
  at: Members,
  [step = '', ...rest]: readonly string[],
  pointer: string,
  erased: string[],
): void {
  for (const name of namesOf(at, step)) {
    const here = pointerOf(pointer, name);
    const inner = rest.length === 0 ? undefined : enter(at, name);
    if (inner !== undefined) erase(inner, rest, here, erased);
    if (rest.length > 0) continue;
    remove(at, name);
    erased.push(here);
  }
}

/** A place in a list stays, so that its neighbours keep theirs. */
function remove(at: Members, name: string): void {
  if (Array.isArray(at)) at[Number(name)] = null;
  else Reflect.deleteProperty(at, name);
}

interface Masking {
  readonly key: Uint8Array;
  readonly masked: string[];
}

function mask(at: Members, [step = '', ...rest]: readonly string[], pointer: string, by: Masking): void {
  for (const name of namesOf(at, step)) {
    const here = pointerOf(pointer, name);
    const inner = rest.length === 0 ? undefined : enter(at, name);
    if (inner !== undefined) mask(inner, rest, here, by);
    const value = at[name];
    // The OPA Data API takes a subject of any form: what is no object is one.
    if (rest.length > 0 || (typeof value !== 'string' && typeof value !== 'number')) continue;
    at[name] = `p_${toBase64Url(hmacSha256(by.key, String(value)).subarray(0, 16))}`;
    by.masked.push(here);
  }
}

function eraseTokens(at: Members, pointer: string, erased: string[]): void {
  for (const [name, value] of Object.entries(at)) {
    if (hasToken(name) || (typeof value === 'string' && hasToken(value))) {
      remove(at, name);
      if (erased.length <= NAMED_MAX) erased.push(pointerOf(pointer, name));
    } else {
      const inner = enter(at, name);
      if (inner !== undefined) eraseTokens(inner, pointerOf(pointer, name), erased);
    }
  }
}
