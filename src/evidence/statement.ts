/**
 * What an incarnation says under its own key: a compact JWS (RFC 7515) with EdDSA (RFC 8037) and exactly one
 * spelling: canonical base64url, canonical JSON (RFC 8785), a header of three known members. Whatever could be
 * written in two ways is refused, so that no byte of a statement can be altered and still verify.
 */
import { parseBase64Url, toBase64Url } from '../kernel/digest.ts';
import type { Json } from '../kernel/json.ts';
import { canonicalJson, isCanonical, isJsonObject, parseJson } from '../kernel/json.ts';
import type { PublicKey, SigningKey } from '../kernel/key.ts';
import { LIMITS } from '../kernel/limits.ts';
import { demand, demandReadable } from './demand.ts';
import { parseText } from './text.ts';

export interface Statement {
  /** The incarnation that signed. */
  readonly kid: string;
  /** Its key. */
  readonly key: PublicKey;
  readonly payload: Json;
}

const COMPACT_JWS = /^([^.]+)\.([^.]+)\.([^.]+)$/;

/** Who may sign as `kid`; undefined for a stranger. */
export type KeyLookup = (kid: string) => PublicKey | undefined;

/** Signs `payload` as `kid`. INTERNAL for a payload that JSON cannot hold. */
export function signStatement(typ: string, kid: string, payload: unknown, key: SigningKey): string {
  const input = `${encode(renderHeader(typ, kid))}.${encode(canonicalJson(payload))}`;
  return `${input}.${toBase64Url(key.sign(input))}`;
}

/** Verifies a statement of type `typ`; PROOF_INVALID unless a key that `keyOf` names for its `kid` signed it. */
export function readStatement(text: string, typ: string, keyOf: KeyLookup): Statement {
  const [, header = '', payload = '', signature = ''] = COMPACT_JWS.exec(text) ?? [];
  const kid = parseKid(decode(header), typ);
  const key = keyOf(kid);
  demand(key !== undefined, 'statement is signed by nobody who was admitted');
  demand(key.verify(`${header}.${payload}`, decode(signature)), 'statement has a bad signature');
  return { kid, key, payload: parseCanonical(decode(payload)) };
}

function parseKid(bytes: Uint8Array, typ: string): string {
  const header = parseCanonical(bytes);
  const kid = isJsonObject(header) ? header['kid'] : undefined;
  demand(typeof kid === 'string', 'statement has another header than ours');
  demand(canonicalJson(header) === renderHeader(typ, kid), 'statement has another header than ours');
  return kid;
}

function renderHeader(typ: string, kid: string): string {
  return canonicalJson({ alg: 'EdDSA', kid, typ });
}

function parseCanonical(bytes: Uint8Array): Json {
  const text = parseText(bytes);
  const limits = { depthMax: LIMITS.jsonDepthMax, strictMembers: true };
  const value = demandReadable(() => parseJson(text, limits), 'statement is not JSON');
  demand(isCanonical(value, text), 'statement is not canonical JSON');
  return value;
}

function encode(text: string): string {
  return toBase64Url(Buffer.from(text));
}

function decode(part: string): Uint8Array {
  const bytes = parseBase64Url(part);
  demand(bytes !== undefined, 'statement is not canonical base64url');
  return bytes;
}
