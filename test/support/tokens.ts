/**
 * Tokens for tests: any header, any claims, any key, signed without a library that would refuse to. Also keys in
 * memory whose set a test changes by hand, and a verifier over them.
 */
import type { KeyObject } from 'node:crypto';
import { constants, createHash, createHmac, generateKeyPairSync, sign } from 'node:crypto';
import type {
  CredentialScheme,
  Credential,
  Verification,
  VerifiedCredential,
} from '../../src/credential/credential.ts';
import { Fingerprinter } from '../../src/credential/handle.ts';
import type {
  Algorithm,
  Issuer,
  KeyLookup,
  KeySource,
  KeyUse,
  TokenType,
} from '../../src/credential/issuer.ts';
import type { KeySet } from '../../src/credential/key-set.ts';
import { parseKeySet } from '../../src/credential/key-set.ts';
import type { VerifierOptions } from '../../src/credential/verifier.ts';
import { JwtVerifier } from '../../src/credential/verifier.ts';

export const NOW_S = 1_800_000_000;
export const NOW_MS = NOW_S * 1000;
export const ISSUER = 'https://idp.example';
export const AUDIENCE = 'api';

export interface TestKey {
  readonly kid: string;
  readonly algorithm: Algorithm;
  readonly privateKey: KeyObject;
  readonly publicKey: KeyObject;
  /** Public, with `kid`, `alg` and `use`. */
  readonly jwk: Readonly<Record<string, unknown>>;
}

const CURVES: Partial<Record<Algorithm, string>> = { ES256: 'P-256', ES384: 'P-384', ES512: 'P-521' };

/** A new key. RSA of 2,048 bits unless said otherwise. */
export function makeKey(
  algorithm: Algorithm,
  kid = `${algorithm}-key`,
  { use = 'sig', rsaBits = 2048 }: { use?: KeyUse; rsaBits?: number } = {},
): TestKey {
  const namedCurve = CURVES[algorithm];
  const pair =
    algorithm === 'EdDSA'
      ? generateKeyPairSync('ed25519')
      : namedCurve === undefined
        ? generateKeyPairSync('rsa', { modulusLength: rsaBits })
        : generateKeyPairSync('ec', { namedCurve });
  const jwk = { ...pair.publicKey.export({ format: 'jwk' }), kid, alg: algorithm, use };
  return { kid, algorithm, ...pair, jwk };
}

const keys = new Map<Algorithm, TestKey>();

/** The same key each time it is asked for in one process. */
export function keyFor(algorithm: Algorithm): TestKey {
  const key = keys.get(algorithm) ?? makeKey(algorithm);
  keys.set(algorithm, key);
  return key;
}

export function base64url(data: string | Uint8Array | object): string {
  if (typeof data === 'string' || data instanceof Uint8Array) return Buffer.from(data).toString('base64url');
  return Buffer.from(JSON.stringify(data)).toString('base64url');
}

/** A signature over `input` as `algorithm` wants it (RFC 7518 section 3), whatever a header may say. */
export function signatureOf(input: string, { algorithm, privateKey }: TestKey): Uint8Array {
  const hash = algorithm === 'EdDSA' ? null : `sha${algorithm.slice(2)}`;
  const isPss = algorithm.startsWith('PS');
  return sign(hash, Buffer.from(input), {
    key: privateKey,
    dsaEncoding: 'ieee-p1363',
    ...(isPss
      ? { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_DIGEST }
      : {}),
  });
}

/** A compact JWS of exactly these header and payload: objects, or the text itself. */
export function signCompact(header: string | object, payload: string | object, key: TestKey): string {
  const input = `${base64url(header)}.${base64url(payload)}`;
  return `${input}.${base64url(signatureOf(input, key))}`;
}

/** The same with HMAC and any secret. */
export function signHmac(header: object, payload: object, secret: string | Uint8Array): string {
  const input = `${base64url(header)}.${base64url(payload)}`;
  return `${input}.${createHmac('sha256', secret).update(input).digest('base64url')}`;
}

export type Members = Readonly<Record<string, unknown>>;

/** Claims of a good RFC 9068 token of NOW; `undefined` takes one away. */
export function accessClaims(changes: Members = {}): Members {
  return {
    iss: ISSUER,
    aud: AUDIENCE,
    sub: 'billing',
    client_id: 'billing-app',
    jti: 'token-1',
    iat: NOW_S - 10,
    exp: NOW_S + 300,
    ...changes,
  };
}

/** A copy that lacks these members. */
export function without(members: Members, ...names: string[]): Members {
  return Object.fromEntries(Object.entries(members).filter(([name]) => !names.includes(name)));
}

export interface TokenParts {
  readonly key?: TestKey;
  readonly header?: Members;
  readonly claims?: Members;
}

/** A good access token of NOW, with these changes. */
export function mintToken({ key = keyFor('ES256'), header = {}, claims = {} }: TokenParts = {}): string {
  return signCompact(
    { alg: key.algorithm, typ: 'at+jwt', kid: key.kid, ...header },
    accessClaims(claims),
    key,
  );
}

/** Keys in memory. `set` is what the issuer publishes from then on; nobody sees it before a refresh or `publish`. */
export class MemoryKeys implements KeySource {
  refreshes = 0;
  /** Awaited by each refresh. */
  gate: Promise<void> = Promise.resolve();
  #set: KeySet | undefined;
  #next: KeySet | undefined;
  #generation = 0;

  constructor(published: readonly TestKey[] | undefined, use: KeyUse = 'sig') {
    this.#set = published && setOf(published, use);
  }

  /** Takes effect at the next refresh. */
  stage(published: readonly TestKey[], use: KeyUse = 'sig'): void {
    this.#next = setOf(published, use);
  }

  /** Takes effect now, as a background refresh would. */
  publish(published: readonly TestKey[] | undefined, use: KeyUse = 'sig'): void {
    this.#set = published && setOf(published, use);
    this.#generation += 1;
  }

  lookup(kid: string | undefined, algorithm: Algorithm): KeyLookup {
    return this.#set?.lookup(kid, algorithm) ?? { state: 'unavailable' };
  }

  generation(): number {
    return this.#generation;
  }

  async refresh(): Promise<void> {
    this.refreshes += 1;
    await this.gate;
    if (this.#next === undefined) return;
    this.#set = this.#next;
    this.#next = undefined;
    this.#generation += 1;
  }

  isAvailable(): boolean {
    return this.#set !== undefined;
  }
}

function setOf(published: readonly TestKey[], use: KeyUse): KeySet {
  return parseKeySet(JSON.stringify({ keys: published.map((key) => key.jwk) }), use);
}

export interface IssuerParts {
  readonly issuer?: string;
  readonly audiences?: readonly string[];
  readonly algorithms?: readonly Algorithm[];
  readonly tokenType?: TokenType;
  readonly keys?: KeySource;
}

export function issuerOf(parts: IssuerParts = {}): Issuer {
  return {
    issuer: ISSUER,
    audiences: [AUDIENCE],
    algorithms: ['ES256'],
    tokenType: 'at+jwt',
    keys: new MemoryKeys([keyFor('ES256')]),
    ...parts,
  };
}

export const FINGERPRINTER = new Fingerprinter(new Uint8Array(32));

export function verifierOf(
  issuers: readonly Issuer[] = [issuerOf()],
  options: Partial<VerifierOptions> = {},
): JwtVerifier {
  return new JwtVerifier({
    issuers,
    fingerprinter: FINGERPRINTER,
    clockSkewS: 5,
    credentialLifeMaxS: 86_400,
    revocationClaims: [],
    ...options,
  });
}

export function bearer(token: string): Credential {
  return { scheme: 'Bearer', token };
}

/** `ok`, or the detail of the refusal: what most tests compare. */
export async function outcomeOf(
  verifier: JwtVerifier,
  credential: string | Credential,
  wallMs = NOW_MS,
): Promise<string> {
  const presented = typeof credential === 'string' ? bearer(credential) : credential;
  return wordOf(await verifier.verify(presented, wallMs));
}

export function wordOf(verification: Verification): string {
  return verification.ok ? 'ok' : verification.detail;
}

/** The verified credential, or an error that says why there is none. */
export async function verified(
  verifier: JwtVerifier,
  token: string,
  wallMs = NOW_MS,
): Promise<VerifiedCredential> {
  const verification = await verifier.verify(bearer(token), wallMs);
  if (!verification.ok) throw new Error(`refused: ${verification.detail}`);
  return verification.credential;
}

export interface ProofParts {
  readonly key: TestKey;
  readonly token: string;
  readonly header?: Members;
  readonly claims?: Members;
}

/** A good DPoP proof of NOW for `GET https://api.example/orders`, with these changes. */
export function mintProof({ key, token, header = {}, claims = {} }: ProofParts): string {
  const jwk = without(key.jwk, 'kid', 'alg', 'use');
  const ath = createHash('sha256').update(token).digest('base64url');
  return signCompact(
    { typ: 'dpop+jwt', alg: key.algorithm, jwk, ...header },
    { jti: 'proof-1', htm: 'GET', htu: 'https://api.example/orders', iat: NOW_S, ath, ...claims },
    key,
  );
}

export function presented(scheme: CredentialScheme, token: string, rest: Partial<Credential>): Credential {
  return { scheme, token, ...rest };
}
