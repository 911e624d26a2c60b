/**
 * One request: credential -> verified credential -> [ verdict -> policy -> decision ] -> answer. There is no await
 * inside the brackets, so nothing can land between the look-up and the decision; after every await the look-up is
 * made again. Freshness is computed from the clock here, each time.
 */
import type {
  Credential,
  CredentialVerifier,
  Verification,
  VerifiedCredential,
} from '../credential/credential.ts';
import { bareSubjectHandles } from '../credential/handles.ts';
import type { Fingerprinter, HandleSet } from '../credential/handle.ts';
import type { Decision, DecisionEvidence, Judgement, Reason } from '../decision/decision.ts';
import { decide, decideByVerdict, isPermissive } from '../decision/decision.ts';
import type { GrantTable, LiveGrants } from '../decision/grants.ts';
import type { PolicyAnswer, PolicyEngine, PolicyRevision, PolicyValue } from '../decision/policy-engine.ts';
import { credentialInput, inputOf, policyInput } from '../decision/policy-input.ts';
import type { AccessRequest } from '../decision/request.ts';
import type { Cursor } from '../feed/cursor.ts';
import type { Lease } from '../feed/lease.ts';
import type { Position } from '../feed/position.ts';
import { ORIGIN, renderPosition } from '../feed/position.ts';
import type { Clock, Instant } from '../kernel/clock.ts';
import { epochS, parseInstant } from '../kernel/clock.ts';
import type { Json, JsonObject } from '../kernel/json.ts';
import { isJsonObject } from '../kernel/json.ts';
import { LIMITS } from '../kernel/limits.ts';
import type { Standing } from '../session/grounds.ts';
import type { LastAccepts } from '../revocation/last-accepts.ts';
import type { RevocationVerdict } from '../revocation/verdict.ts';
import type { RevocationView } from '../revocation/view.ts';

export interface CheckPorts {
  readonly verifier: CredentialVerifier;
  readonly fingerprinter: Fingerprinter;
  readonly view: RevocationView;
  readonly grants: GrantTable;
  readonly cursor: Cursor;
  readonly lease: Lease;
  readonly policy: PolicyEngine;
  readonly lastAccepts: LastAccepts;
  readonly clock: Clock;
  readonly clockSkewS: number;
  /** False: the policy is evaluated every time. */
  readonly hasMemo: boolean;
}

/** A policy's answer to one request, and all that it depended on. */
interface Remembered {
  readonly revision: PolicyRevision;
  readonly credential: VerifiedCredential | undefined;
  /** Of the grants. */
  readonly generation: number;
  readonly nowS: number;
  /** When the first of the grants that were in the input ends. */
  readonly endS: number;
  readonly answer: PolicyAnswer;
}

/** What the OPA Data API may answer: a refusal, or whatever the entrypoint says. */
export type DataAnswer =
  | { readonly refused: Judgement }
  | { readonly refused: undefined; readonly value: PolicyValue; readonly evidence: DecisionEvidence };

/** Whose word it is: handles to look up, and when it was issued. */
interface Presented {
  readonly handles: HandleSet;
  readonly issuedAtS: number | undefined;
}

export class Checker {
  readonly #ports: CheckPorts;
  readonly #bare = new Map<string, HandleSet>();
  readonly #memo = new WeakMap<AccessRequest, Remembered>();
  /** The cursor's position and how it reads: it moves far less often than it is told. */
  #position: Position = ORIGIN;
  #positionText = renderPosition(ORIGIN);

  constructor(ports: CheckPorts) {
    this.#ports = ports;
  }

  /** Decides `request`. Synchronous when its credential was verified before. Never rejects for what a caller sent. */
  check(request: AccessRequest): Judgement | Promise<Judgement> {
    const verification = this.verify(request.credential);
    return verification instanceof Promise
      ? verification.then((settled) => this.judgeAgain(request, settled))
      : this.judge(request, verification);
  }

  /** The first half, for callers that have something to do between the halves (sessions register there). */
  verify(credential: Credential | undefined): Verification | undefined | Promise<Verification> {
    return credential && this.#ports.verifier.verify(credential, this.#ports.clock.now().wallMs);
  }

  /** The brackets. `verification` is undefined for a subject that was asserted without a credential. */
  judge(request: AccessRequest, verification: Verification | undefined): Judgement {
    const now = this.#ports.clock.now();
    if (verification?.ok === false) return this.#judged(this.#refuse(verification, now), undefined, now);
    const credential = verification?.credential;
    const presented = credential ?? this.#bareSubject(request.subject.id, request.context, now);
    const verdict = this.#verdict(presented, now);
    const settled = decideByVerdict(verdict) ?? mismatch(credential, request.subject.id);
    if (settled !== undefined) return this.#judged(settled, credential, now);
    const remembered = this.#remembered(request, credential, now);
    if (remembered !== undefined)
      return this.#decided(decide(verdict, remembered), presented, credential, now);
    const answer = this.#evaluated(request, credential, now);
    // A policy takes its time, and a lease may be over by then.
    const after = this.#ports.clock.now();
    return this.#decided(decide(this.#verdict(presented, after), answer), presented, credential, after);
  }

  /** `judge` after a wait for something else: what depends on the moment of the credential is looked at again too. */
  judgeAgain(request: AccessRequest, verification: Verification | undefined): Judgement {
    return this.judge(request, this.#reverify(verification));
  }

  /** Refuses without looking at anything: there is nothing to decide on. */
  refuse(reason: Reason, detail?: string): Judgement {
    const refusal = { effect: 'deny', reason, ...(detail === undefined ? {} : { detail }) } as const;
    return this.#judged(refusal, undefined, this.#ports.clock.now());
  }

  /**
   * The brackets for what goes on: a session, at `timeMs` of its own time (policy and grants go by it; lease and verdict
   * by the clock as always). Nothing is presented, so it is no accept.
   */
  reconsider(
    session: Presented & { readonly subject: string },
    standing: Standing,
    timeMs: number,
  ): Decision {
    const now = this.#ports.clock.now();
    const verdict = this.#verdict(session, now);
    const settled = decideByVerdict(verdict);
    if (settled !== undefined) return settled;
    const { request, credential, issuer, actor } = standing;
    const nowS = Math.floor(timeMs / 1000);
    const { grants } = this.#ports.grants.liveFor(session.subject, issuer, actor, nowS);
    return decide(verdict, this.#ports.policy.decide(inputOf(request, credential, nowS, grants)));
  }

  /** The brackets of the OPA Data API: what `input` presents is judged first, and nothing refused ever gets a value. */
  evaluate(entrypoint: string, input: JsonObject, presentedAs: Verification | undefined): DataAnswer {
    const verification = this.#reverify(presentedAs);
    const now = this.#ports.clock.now();
    if (verification?.ok === false)
      return { refused: this.#judged(this.#refuse(verification, now), undefined, now) };
    const verified = verification?.credential;
    const subjectId = isJsonObject(input['subject']) ? input['subject']['id'] : undefined;
    const context = isJsonObject(input['context']) ? input['context'] : {};
    const presented = verified ?? this.#bareSubject(idOf(subjectId), context, now);
    const refused = decideByVerdict(this.#verdict(presented, now)) ?? mismatch(verified, subjectId);
    if (refused !== undefined) return { refused: this.#judged(refused, verified, now) };
    const { credential: _raw, ...asserted } = input;
    const { grants } = this.#grantsOf(idOf(verified?.subject ?? subjectId), verified, now);
    // Facts of Writ's own: what the input says under these names is nobody's word.
    const facts = { grants, now: epochS(now) };
    const seen = {
      ...asserted,
      ...facts,
      ...(verified === undefined ? {} : { credential: credentialInput(verified) }),
    };
    const value = this.#ports.policy.evaluate(entrypoint, seen);
    const after = this.#ports.clock.now();
    const late = decideByVerdict(this.#verdict(presented, after));
    if (late !== undefined) return { refused: this.#judged(late, verified, after) };
    if (value.kind === 'value' && isPermissive(value.value)) this.#accept(presented, after);
    return { refused: undefined, value, evidence: this.#evidence(after) };
  }

  /** True while the same question may have another answer later although nothing is decided anew. */
  get isTimeBound(): boolean {
    const { readsNow, isPure } = this.#ports.policy.revision;
    return readsNow || !isPure;
  }

  /** Whole milliseconds for which an answer given now may be relied on; 0 when fenced. */
  freshForMs(): number {
    return Math.floor(this.#ports.lease.freshForMs(this.#ports.clock.now()));
  }

  #decided(
    decision: Decision,
    presented: Presented,
    credential: VerifiedCredential | undefined,
    now: Instant,
  ): Judgement {
    if (decision.effect === 'allow') this.#accept(presented, now);
    return this.#judged(decision, credential, now);
  }

  /**
   * What the policy said to a request that comes again as it was: only of a policy without impure builtins, only while
   * policy, grants and credential are the same ones, and within the second where the policy reads `now`, else until the
   * first of the grants ends.
   * It never stands in for the verdict, the expiry or the lease: those come before it, each time.
   */
  #remembered(
    request: AccessRequest,
    credential: VerifiedCredential | undefined,
    now: Instant,
  ): PolicyAnswer | undefined {
    const known = this.#memo.get(request);
    if (known === undefined) return undefined;
    const { revision } = this.#ports.policy;
    const nowS = epochS(now);
    const isSame =
      known.revision === revision &&
      known.generation === this.#ports.grants.generation &&
      known.credential === credential &&
      (revision.readsNow ? known.nowS === nowS : nowS < known.endS);
    return isSame ? known.answer : undefined;
  }

  #evaluated(request: AccessRequest, credential: VerifiedCredential | undefined, now: Instant): PolicyAnswer {
    const { policy, hasMemo } = this.#ports;
    const { revision } = policy;
    const { generation } = this.#ports.grants;
    const nowS = epochS(now);
    const { grants, earliestEndS: endS } = this.#grantsOf(request.subject.id, credential, now);
    const answer = policy.decide(policyInput(request, credential, nowS, grants));
    if (hasMemo && revision.isPure)
      this.#memo.set(request, { revision, generation, credential, nowS, endS, answer });
    return answer;
  }

  #judged(decision: Decision, credential: VerifiedCredential | undefined, now: Instant): Judgement {
    const evidence = this.#evidence(now);
    return credential === undefined ? { ...decision, evidence } : { ...decision, credential, evidence };
  }

  #evidence(now: Instant): DecisionEvidence {
    const { cursor, policy, lease } = this.#ports;
    if (cursor.position !== this.#position) {
      this.#position = cursor.position;
      this.#positionText = renderPosition(cursor.position);
    }
    return {
      position: this.#positionText,
      policy: policy.revision.digest,
      freshForMs: Math.floor(lease.freshForMs(now)),
    };
  }

  /** The view first: a fenced replica that knows something is revoked says `revoked`; everything else is unknown. */
  #verdict({ handles, issuedAtS }: Presented, now: Instant): RevocationVerdict {
    const verdict = this.#ports.view.verdict(handles, issuedAtS, epochS(now));
    return verdict.state === 'clear' && !this.#ports.lease.isFresh(now) ? UNKNOWN : verdict;
  }

  /** Those of the subject and of the actor who acts for it now; an asserted subject has no issuer. */
  #grantsOf(subjectId: string, credential: VerifiedCredential | undefined, now: Instant): LiveGrants {
    return this.#ports.grants.liveFor(subjectId, credential?.issuer, credential?.actors[0], epochS(now));
  }

  #refuse(verification: Extract<Verification, { ok: false }>, now: Instant): Decision {
    if (!this.#ports.lease.isFresh(now)) return { effect: 'indeterminate', reason: 'fenced' };
    const { reason, detail } = verification;
    if (reason === 'overloaded' || detail === 'keys_unavailable') {
      return { effect: 'indeterminate', reason: 'introspection_unavailable', detail };
    }
    return { effect: 'deny', reason, detail };
  }

  #reverify(verification: Verification | undefined): Verification | undefined {
    return verification && this.#ports.verifier.reverify(verification, this.#ports.clock.now().wallMs);
  }

  #accept({ handles, issuedAtS }: Presented, now: Instant): void {
    this.#ports.lastAccepts.record(handles, issuedAtS, now.wallMs);
  }

  #bareSubject(id: string, context: JsonObject, now: Instant): Presented {
    let handles = this.#bare.get(id);
    if (handles === undefined) {
      handles = this.#ports.fingerprinter.print(bareSubjectHandles(id));
      // Anyone may ask about a name as long as a body: those are printed again rather than remembered.
      if (id.length <= LIMITS.bareSubjectCharsMax) this.#remember(id, handles);
    }
    return {
      handles,
      issuedAtS: authenticatedAtS(context['authenticatedAt'], epochS(now) + this.#ports.clockSkewS),
    };
  }

  #remember(id: string, handles: HandleSet): void {
    if (this.#bare.size >= LIMITS.bareSubjectsMax) this.#bare.clear();
    this.#bare.set(id, handles);
  }
}

function idOf(subjectId: Json | undefined): string {
  return typeof subjectId === 'string' ? subjectId : '';
}

const UNKNOWN: RevocationVerdict = { state: 'unknown' };

function mismatch(
  credential: VerifiedCredential | undefined,
  subjectId: Json | undefined,
): Decision | undefined {
  if (credential === undefined || subjectId === undefined || subjectId === credential.subject)
    return undefined;
  return { effect: 'deny', reason: 'subject_mismatch' };
}

/** `context.authenticatedAt` stands for `iat`: RFC 3339 or epoch seconds. One in the future is no answer to a cutoff. */
function authenticatedAtS(value: Json | undefined, latestS: number): number | undefined {
  const atMs =
    typeof value === 'string' ? parseInstant(value) : typeof value === 'number' ? value * 1000 : undefined;
  const atS = atMs === undefined ? undefined : Math.floor(atMs / 1000);
  return atS !== undefined && atS <= latestS ? atS : undefined;
}
