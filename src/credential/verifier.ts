/**
 * Credential -> VerifiedCredential, for signed JWTs. Every door's check begins here. What was verified is kept by
 * the hash of the exact token, never the token; whatever depends on the moment (expiry, a key that left, the proof
 * that came along) is judged again at every use. Whoever presents a credential cannot make this throw.
 */
import { hash } from 'node:crypto';
import { WritError } from '../kernel/error.ts';
import { LIMITS } from '../kernel/limits.ts';
import { checkSpan } from './claim.ts';
import { checkCertificate } from './confirmation.ts';
import type { Credential, CredentialVerifier, TokenHandle, Verification } from './credential.ts';
import { judgeProof } from './dpop.ts';
import type { Issuer, KeySource, VerificationKey } from './issuer.ts';
import type { TokenHeader } from './profile.ts';
import { ProofLog } from './proof-log.ts';
import { RecentMap } from '../kernel/recent-map.ts';
import type { Refusal } from './refusal.ts';
import { invalid, isRefusal, refuse } from './refusal.ts';
import { isSignedBy } from './signature.ts';
import { isTooLarge, parseTokenHandle } from './spelling.ts';
import type { AcceptedToken, AcceptRules, ReadToken } from './token.ts';
import { acceptToken, readToken } from './token.ts';

export interface VerifierOptions extends AcceptRules {
  readonly issuers: readonly Issuer[];
  /** How many DPoP proofs are remembered at once; beyond it new ones are refused. */
  readonly proofsMax?: number;
}

/** A token that was verified, and by which key: what a hit of the cache finds. */
interface Known {
  readonly token: AcceptedToken;
  /** The answer for whoever may use it; made once, so that a hit allocates nothing. */
  readonly answer: Verification;
  readonly source: KeySource;
  readonly header: TokenHeader;
  readonly thumbprint: string;
  /** Of `source`, when the key was last found there. */
  generation: number;
}

/** Those that wait for a fetch of keys may not take every place from those whose key is here. */
const WAITING_MAX = LIMITS.verificationsInFlightMax / 2;

export class JwtVerifier implements CredentialVerifier {
  readonly #rules: AcceptRules;
  readonly #issuers: ReadonlyMap<string, Issuer>;
  readonly #known = new RecentMap<Known>(LIMITS.verifiedCredentialsMax);
  /** The same by the very object that was presented, for as long as its door remembers it: that saves the hash. */
  readonly #met = new WeakMap<Credential, Known>();
  /** The same by the answer that was given, which may have to be given again after a wait. */
  readonly #answered = new WeakMap<Verification, Known>();
  readonly #flights = new Map<string, Promise<Known | Refusal>>();
  readonly #proofs: ProofLog;
  #waiting = 0;
  #proving = 0;

  /** Throws CONFIG_INVALID when two issuers have one name: which keys counted would be a matter of order. */
  constructor(options: VerifierOptions) {
    this.#rules = options;
    this.#proofs = new ProofLog(options.proofsMax ?? LIMITS.proofsMax);
    this.#issuers = new Map(options.issuers.map((issuer) => [issuer.issuer, issuer]));
    if (this.#issuers.size !== options.issuers.length)
      throw new WritError('CONFIG_INVALID', 'an issuer is configured twice', { field: 'issuers' });
  }

  verify(credential: Credential, wallMs: number): Verification | Promise<Verification> {
    if (credential.scheme !== 'Bearer' && credential.scheme !== 'DPoP') return invalid('scheme_unsupported');
    const met = this.#met.get(credential);
    if (met !== undefined && hasKeyStill(met)) return this.#present(met, credential, wallMs);
    if (isTooLarge(credential.token)) return invalid('size');
    const id = hash('sha256', credential.token, 'base64url');
    const known = this.#known.get(id);
    if (known === undefined || !hasKeyStill(known)) return this.#verifyCold(id, credential, wallMs);
    if (wallMs >= known.token.span.untilMs) this.#known.delete(id);
    this.#met.set(credential, known);
    return this.#present(known, credential, wallMs);
  }

  reverify(verification: Verification, wallMs: number): Verification {
    const known = this.#answered.get(verification);
    // A refusal: it is not looked at twice.
    if (known === undefined) return verification;
    if (hasKeyStill(known)) return checkSpan(known.token.span, wallMs) ?? verification;
    const found = lookupKey(known.source, known.header);
    return isRefusal(found) ? found : invalid('key_unknown');
  }

  handleOfToken(token: string): TokenHandle | undefined {
    return parseTokenHandle(token);
  }

  /** One verification for each token however often it is presented meanwhile, and a limit on different ones. */
  #verifyCold(id: string, credential: Credential, wallMs: number): Verification | Promise<Verification> {
    let flight = this.#flights.get(id);
    if (flight === undefined) {
      const token = readToken(credential.token, this.#issuers);
      if (isRefusal(token)) return token;
      if (this.#flights.size >= LIMITS.verificationsInFlightMax) return refuse('overloaded', 'verifications');
      flight = this.#open(id, token, wallMs).finally(() => this.#flights.delete(id));
      this.#flights.set(id, flight);
    }
    return flight.then((known) => (isRefusal(known) ? known : this.#present(known, credential, wallMs)));
  }

  async #open(id: string, token: ReadToken, wallMs: number): Promise<Known | Refusal> {
    const { issuer, header, jws } = token;
    const found = await this.#findKey(token);
    if (isRefusal(found)) return found;
    const { key, generation } = found;
    if (!(await isSignedBy(jws, key, header.algorithm))) return invalid('signature');
    const accepted = acceptToken(token, key, this.#rules, wallMs);
    if (isRefusal(accepted)) return accepted;
    const answer = { ok: true, credential: accepted.credential } as const;
    const { thumbprint } = key;
    const known = { token: accepted, answer, source: issuer.keys, header, thumbprint, generation };
    this.#known.set(id, known);
    this.#answered.set(answer, known);
    return known;
  }

  /** The key, after one refresh where that may bring it. */
  async #findKey({ issuer, header }: ReadToken): Promise<FoundKey | Refusal> {
    const found = lookupKey(issuer.keys, header);
    if (!isRefusal(found) || !MENDED_BY_REFRESH.has(found.detail)) return found;
    if (this.#waiting >= WAITING_MAX) return refuse('overloaded', 'verifications');
    this.#waiting += 1;
    await issuer.keys.refresh().finally(() => (this.#waiting -= 1));
    return lookupKey(issuer.keys, header);
  }

  /** What depends on this use of a verified token: the time, and the proof that it is bound to. */
  #present(known: Known, credential: Credential, wallMs: number): Verification | Promise<Verification> {
    const refused = checkSpan(known.token.span, wallMs) ?? checkPresented(known, credential);
    if (refused !== undefined) return refused;
    const { jkt } = known.token.binding;
    return jkt === undefined ? known.answer : this.#prove(known, jkt, credential, wallMs);
  }

  async #prove(known: Known, jkt: string, credential: Credential, wallMs: number): Promise<Verification> {
    const { token, proof, method, uri } = credential;
    if (proof === undefined || method === undefined || uri === undefined) return invalid('proof_required');
    if (this.#proving >= LIMITS.verificationsInFlightMax) return refuse('overloaded', 'verifications');
    this.#proving += 1;
    const judged = await judgeProof(proof, { token, jkt, method, uri }, wallMs).finally(
      () => (this.#proving -= 1),
    );
    if (isRefusal(judged)) return judged;
    // Noted last and without an await in between: of two with the same proof one is first.
    switch (this.#proofs.use(jkt, judged.jti, wallMs)) {
      case 'first':
        return known.answer;
      case 'replayed':
        return invalid('proof_replayed');
      case 'full':
        return refuse('overloaded', 'verifications');
    }
  }
}

interface FoundKey {
  readonly key: VerificationKey;
  readonly generation: number;
}

const MENDED_BY_REFRESH: ReadonlySet<string> = new Set(['key_unknown', 'keys_unavailable']);

function lookupKey(source: KeySource, header: TokenHeader): FoundKey | Refusal {
  // The generation first: were it read later, a set that changed in between would look as if it held the key.
  const generation = source.generation();
  const found = source.lookup(header.kid, header.algorithm);
  switch (found.state) {
    case 'found':
      return { key: found.key, generation };
    case 'unknown':
      return invalid('key_unknown');
    case 'unfit':
      return invalid('algorithm');
    case 'ambiguous':
      return invalid('key_id');
    case 'unavailable':
      return invalid('keys_unavailable');
  }
}

/** True while the key that verified is in its issuer's set; asked at every hit, usually one comparison. */
function hasKeyStill(known: Known): boolean {
  if (known.source.generation() === known.generation) return true;
  const found = lookupKey(known.source, known.header);
  if (isRefusal(found) || found.key.thumbprint !== known.thumbprint) return false;
  known.generation = found.generation;
  return true;
}

/** A token that is bound to a key must come with the proof of it, and by the scheme that carries it (RFC 9449 7.1). */
function checkPresented({ token }: Known, credential: Credential): Refusal | undefined {
  const { jkt, x5t } = token.binding;
  if (credential.scheme === 'DPoP' && jkt === undefined) return invalid('not_bound');
  if (credential.scheme === 'Bearer' && jkt !== undefined) return invalid('proof_required');
  return x5t === undefined ? undefined : checkCertificate(x5t, credential.certificate);
}
