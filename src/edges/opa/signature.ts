/**
 * OPA's bundle signatures (https://www.openpolicyagent.org/docs/management-bundles#signing): one JWT in
 * `.signatures.json` that lists the hash of every file. Called by prepare.ts before anything else of a bundle is
 * looked at. Nothing that is not listed gets through, and no key is believed that was not configured.
 */
import { createHash, createPublicKey } from 'node:crypto';
import { basename } from 'node:path';
import { compactVerify } from 'jose';
import { isJsonObject } from '../../kernel/json.ts';
import { invalid, shown } from './bundle.ts';

export interface SigningKey {
  /** A JWS algorithm; the key is good for no other. */
  readonly algorithm: string;
  /** The public key, PEM. */
  readonly pem: string;
}

export interface SigningRule {
  /** Any of them may have signed: so a key can be replaced without a moment at which neither is good. */
  readonly keys: readonly SigningKey[];
  /** What the signature's own scope must be; undefined: it is not looked at, as OPA does it. */
  readonly scope?: string;
}

const SIGNATURES = '.signatures.json';

/** POLICY_INVALID unless one of the keys signed exactly these files. */
export async function verifySignature(
  files: ReadonlyMap<string, Uint8Array>,
  { keys, scope }: SigningRule,
): Promise<void> {
  const claims = await verifiedClaims(tokenOf(files.get(SIGNATURES)), keys);
  if (scope !== undefined && claims['scope'] !== scope)
    throw invalid("the bundle's signature is for another scope");
  const listed = parseFiles(claims['files']);
  for (const [name, bytes] of files) {
    if (name === SIGNATURES) continue;
    const entry = listed.get(name);
    if (entry === undefined) throw invalid(`the bundle's signature does not cover ${shown(name)}`);
    if (hashOf(name, bytes, entry.algorithm) !== entry.hash)
      throw invalid(`the bundle's ${shown(name)} is not what was signed`);
    listed.delete(name);
  }
  for (const name of listed.keys()) throw invalid(`the bundle lacks ${shown(name)}, which was signed`);
}

function tokenOf(bytes: Uint8Array | undefined): string {
  if (bytes === undefined) throw invalid('the bundle is not signed, and policy.signing says that it must be');
  const parsed = parsedText(bytes);
  const tokens = isJsonObject(parsed) ? parsed['signatures'] : undefined;
  if (!Array.isArray(tokens) || tokens.length !== 1 || typeof tokens[0] !== 'string')
    throw invalid("the bundle's .signatures.json does not hold exactly one signature");
  return tokens[0];
}

/** The header's `kid` is the signer's word for the key and no reason to believe it: each that fits is tried. */
async function verifiedClaims(
  token: string,
  keys: readonly SigningKey[],
): Promise<Readonly<Record<string, unknown>>> {
  for (const { pem, algorithm } of keys) {
    const verified = await compactVerify(token, createPublicKey(pem), { algorithms: [algorithm] }).catch(
      () => undefined,
    );
    const claims = verified && parsedText(verified.payload);
    if (isJsonObject(claims)) return claims;
  }
  throw invalid("the bundle's signature is by none of the keys of policy.signing");
}

interface ListedFile {
  readonly algorithm: string;
  readonly hash: string;
}

/** OPA's names of hashes that are still good -> OpenSSL's. */
const HASHES: ReadonlyMap<unknown, string> = new Map([
  ['SHA-256', 'sha256'],
  ['SHA-384', 'sha384'],
  ['SHA-512', 'sha512'],
  ['SHA-512-256', 'sha512-256'],
]);

function parseFiles(list: unknown): Map<string, ListedFile> {
  const listed = new Map<string, ListedFile>();
  for (const entry of Array.isArray(list) ? list : []) {
    const { name, hash, algorithm } = isJsonObject(entry) ? entry : {};
    const known = HASHES.get(algorithm);
    if (typeof name !== 'string' || typeof hash !== 'string' || known === undefined)
      throw invalid(
        "the bundle's signature lists a file in a way that is not known (SHA-256 and longer are)",
      );
    listed.set(name.replace(/^\/+/, ''), { algorithm: known, hash: hash.toLowerCase() });
  }
  return listed;
}

/** JSON is signed by what it means and not by how it is spaced; everything else by its bytes. */
function hashOf(name: string, bytes: Uint8Array, algorithm: string): string {
  const hash = createHash(algorithm);
  if (!STRUCTURED.has(basename(name))) return hash.update(bytes).digest('hex');
  for (const part of partsOf(parsedExactly(bytes))) hash.update(part);
  return hash.digest('hex');
}

const STRUCTURED = new Set(['data.json', '.manifest', SIGNATURES]);

function parsedText(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch {
    return undefined;
  }
}

/** A number as it was written: OPA hashes `1.0` and `1e0` differently. */
class NumberText {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

function parsedExactly(bytes: Uint8Array): unknown {
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    return JSON.parse(text, (_name, value: unknown, context?: { source?: string }) =>
      typeof value === 'number' && context?.source !== undefined ? new NumberText(context.source) : value,
    );
  } catch (cause) {
    throw invalid('the bundle holds a JSON file that is not JSON', cause);
  }
}

const PART_CHARS = 65_536;

/** The text that is hashed: members in the order of their bytes, no spaces. In parts, because it may be large. */
function* partsOf(root: unknown): Generator<string> {
  let text = '';
  for (const token of tokensOf(root)) {
    text += token;
    if (text.length < PART_CHARS) continue;
    yield text;
    text = '';
  }
  yield text;
}

function* tokensOf(value: unknown): Generator<string> {
  if (value instanceof NumberText) yield value.text;
  else if (Array.isArray(value)) {
    for (const [i, member] of value.entries()) {
      yield i === 0 ? '[' : ',';
      yield* tokensOf(member);
    }
    yield value.length === 0 ? '[]' : ']';
  } else if (isJsonObject(value)) {
    const names = Object.keys(value).sort(byBytes);
    for (const [i, name] of names.entries()) {
      yield `${i === 0 ? '{' : ','}${goText(name)}:`;
      yield* tokensOf(value[name]);
    }
    yield names.length === 0 ? '{}' : '}';
  } else yield typeof value === 'string' ? goText(value) : JSON.stringify(value);
}

/** As Go orders text: by its UTF-8, which is another order than UTF-16's where there are surrogates. */
function byBytes(left: string, right: string): number {
  if (SURROGATE.test(left) || SURROGATE.test(right))
    return Buffer.compare(Buffer.from(left), Buffer.from(right));
  return left < right ? -1 : 1;
}

const SURROGATE = /[\ud800-\udfff]/;

/** As Go's encoding/json writes text: half a surrogate pair replaced, the two line separators escaped. */
function goText(text: string): string {
  return JSON.stringify(text.toWellFormed()).replace(/[\u2028\u2029]/g, (one) =>
    one === '\u2028' ? '\\u2028' : '\\u2029',
  );
}
