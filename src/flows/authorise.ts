/**
 * Who may command the control plane: the admin token everything, OAuth callers what their scopes say and, where the
 * bundle has `writ/control/allow`, what that rule says too. A revoked caller commands nothing.
 */
import type { Capability } from '../config/config.ts';
import type {
  Credential,
  CredentialVerifier,
  Verification,
  VerifiedCredential,
} from '../credential/credential.ts';
import { credentialInput } from '../decision/policy-input.ts';
import type { PolicyEngine } from '../decision/policy-engine.ts';
import type { Lease } from '../feed/lease.ts';
import type { Clock } from '../kernel/clock.ts';
import { epochS } from '../kernel/clock.ts';
import { isSameSecret } from '../kernel/digest.ts';
import { WritError } from '../kernel/error.ts';
import type { Json } from '../kernel/json.ts';
import type { RevocationCapability } from '../revocation/capability.ts';
import { isCovered } from '../revocation/capability.ts';
import type { RevocationView } from '../revocation/view.ts';

export interface Caller {
  /** `admin`, or `iss|sub`: in entries and in the log. */
  readonly id: string;
  readonly capabilities: ReadonlySet<Capability>;
  /** Undefined: the admin token, which may do everything. Judged again when the caller's order is here whole. */
  readonly verification: Verification | undefined;
}

/** What a route needs. */
export type Need =
  | { readonly act: 'read' | 'administer' | 'grant' | 'ungrant' }
  | { readonly act: 'revoke' | 'lock'; readonly what: RevocationCapability }
  /** `isOwn`: the caller made the lock. */
  | { readonly act: 'lift'; readonly what: RevocationCapability; readonly isOwn: boolean };

export interface AuthorisePorts {
  readonly adminToken: string;
  readonly verifier: CredentialVerifier;
  /** OAuth scope word -> what it allows. */
  readonly scopes: Readonly<Record<string, Capability>>;
  readonly view: RevocationView;
  readonly lease: Lease;
  readonly policy: PolicyEngine;
  readonly clock: Clock;
}

const CONTROL_ENTRYPOINT = 'writ/control/allow';

export class Authoriser {
  readonly #ports: AuthorisePorts;
  readonly #scopes: ReadonlyMap<string, Capability>;

  constructor(ports: AuthorisePorts) {
    this.#ports = ports;
    this.#scopes = new Map(Object.entries(ports.scopes));
  }

  /** UNAUTHENTICATED for a credential that is none; FENCED when it cannot be known whether it is revoked. */
  async authenticate(credential: Credential): Promise<Caller> {
    const { adminToken, verifier, clock } = this.#ports;
    if (credential.scheme === 'Bearer' && isSameSecret(credential.token, adminToken)) return ADMIN;
    const verification = await verifier.verify(credential, clock.now().wallMs);
    const verified = this.#requireGood(verification);
    return {
      id: `${verified.issuer}|${verified.subject}`,
      capabilities: this.#capabilitiesOf(verified.claims['scope']),
      verification,
    };
  }

  /**
   * FORBIDDEN unless `caller` may. `facts`: what the policy's rule reads beside the caller. UNAUTHENTICATED for one that
   * was revoked, or expired, since it was authenticated: a body that comes slowly must not outlive its sender's credential.
   */
  authorise(caller: Caller, need: Need, facts: Readonly<Record<string, Json>> = {}): void {
    if (caller.verification === undefined) return;
    const { verifier, policy, clock } = this.#ports;
    const credential = this.#requireGood(verifier.reverify(caller.verification, clock.now().wallMs));
    if (!isAllowed(caller.capabilities, need))
      throw new WritError('FORBIDDEN', `the caller has no scope for this: ${nameOf(need)}`);
    if (!policy.hasEntrypoint(CONTROL_ENTRYPOINT)) return;
    const input = {
      caller: credentialInput(credential),
      need: nameOf(need),
      ...facts,
      now: epochS(clock.now()),
    };
    const answer = policy.evaluate(CONTROL_ENTRYPOINT, input);
    if (answer.kind !== 'value' || answer.value !== true)
      throw new WritError('FORBIDDEN', 'policy does not allow this');
  }

  #requireGood(verification: Verification): VerifiedCredential {
    if (!verification.ok)
      throw new WritError('UNAUTHENTICATED', `the credential was refused: ${verification.reason}`);
    const { view, lease, clock } = this.#ports;
    const now = clock.now();
    const { credential } = verification;
    const verdict = view.verdict(credential.handles, credential.issuedAtS, epochS(now));
    if (verdict.state === 'revoked')
      throw new WritError('UNAUTHENTICATED', `the credential was refused: ${verdict.by.reason}`);
    if (!lease.isFresh(now)) throw new WritError('FENCED', 'this replica holds no lease: /readyz says why');
    return credential;
  }

  #capabilitiesOf(scope: Json | undefined): ReadonlySet<Capability> {
    const words = typeof scope === 'string' ? scope.split(' ') : [];
    return new Set(words.flatMap((word) => this.#scopes.get(word) ?? []));
  }
}

const ADMIN: Caller = {
  id: 'admin',
  capabilities: new Set(),
  verification: undefined,
};

function isAllowed(held: ReadonlySet<Capability>, need: Need): boolean {
  switch (need.act) {
    case 'administer':
      return false;
    case 'read':
      return held.has('read');
    case 'grant':
    case 'ungrant':
      return held.has('grant');
    case 'revoke':
      return isHeld(held, 'revoke:', need.what);
    // Whoever may make something dead for good may stop it for a while.
    case 'lock':
      return isHeld(held, 'lock:', need.what) || isHeld(held, 'revoke:', need.what);
    // The right to revoke gives nobody the right to undo what others stopped.
    case 'lift':
      return isHeld(held, 'lock:', need.what) || (need.isOwn && isHeld(held, 'revoke:', need.what));
  }
}

function isHeld(
  held: ReadonlySet<Capability>,
  prefix: 'revoke:' | 'lock:',
  needed: RevocationCapability,
): boolean {
  return [...held].some(
    (capability) =>
      capability.startsWith(prefix) &&
      isCovered(capability.slice(prefix.length) as RevocationCapability, needed),
  );
}

function nameOf(need: Need): string {
  return 'what' in need ? `${need.act}:${need.what}` : need.act;
}
