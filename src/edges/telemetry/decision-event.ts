/**
 * One decision as OPA's decision log has it (Decision Log Service API), with what an auditor of agents must find
 * besides: who acted for whom, the reason, the position in the feed, the revocation. Called once for each line.
 */
import type { Decision } from '../../decision/decision.ts';
import type { Asking, Observed, Occasion, ReviewOccasion } from '../../decision/observer.ts';
import { credentialInput } from '../../decision/policy-input.ts';
import type { Event } from './decision-mask.ts';
import type { TraceIds } from './trace-context.ts';

/** What is the same in every line, and what is true at the moment of one. */
export interface EventSources {
  /** `id` is this run of the process. */
  readonly labels: Readonly<Record<'id' | 'version' | 'replica' | 'fleet', string>>;
  /** The rule that decides. */
  readonly entrypoint: string;
  readonly position: () => string;
  readonly policyDigest: () => string;
  /** Of the request that is being answered, when it has a trace. */
  readonly trace: (asking: Asking | undefined) => TraceIds | undefined;
  readonly wallMs: () => number;
  readonly monoMs: () => number;
}

export function eventOf(
  decision: Observed,
  occasion: Occasion | ReviewOccasion,
  sources: EventSources,
): Event {
  const { id, source, startedMs, asked } = occasion;
  const isReview = occasion.source === 'review';
  const { path, asking } = isReview ? NOBODY : occasion;
  const { credential, effect, reason, detail, revocation } = decision;
  const trace = sources.trace(asking);
  const [actor] = credential?.actors ?? [];
  const seen = isReview ? occasion.credential : credential && credentialInput(credential);
  return {
    labels: sources.labels,
    decision_id: id,
    trace_id: trace?.traceId,
    span_id: trace?.spanId,
    request_id: requestIdOf(asking?.headers['x-request-id']),
    bundles: { policy: { revision: decision.evidence?.policy ?? sources.policyDigest() } },
    path: path ?? sources.entrypoint,
    input: {
      ...inputOf(asked, path !== undefined),
      ...(seen === undefined ? {} : { credential: seen }),
    },
    result: path === undefined ? resultOf(decision) : valueOf(decision.value),
    requested_by: asking?.socket.remoteAddress,
    timestamp: new Date(sources.wallMs()).toISOString(),
    metrics: { timer_server_handler_ns: Math.round((sources.monoMs() - startedMs) * 1e6) },
    decision: effect,
    reason,
    detail,
    source,
    ...(isReview ? { session: occasion.session, cause: occasion.cause } : {}),
    subject: credential?.subject ?? subjectOf(asked),
    agent: isReview ? occasion.agent : actor?.subject,
    position: decision.evidence?.position ?? sources.position(),
    revocation,
  };
}

const NOBODY = { path: undefined, asking: undefined };

/** An access request is taken member by member: the object behind it has the credential too. */
function inputOf(asked: Occasion['asked'], isData: boolean): object {
  if (isData) return asked;
  const { subject, action, resource, context } = asked;
  return { subject, action, resource, context };
}

function resultOf({ effect, reason, detail, policyReason, obligations }: Decision): object {
  return { allow: effect === 'allow', reason, detail, policyReason, obligations };
}

/** Undefined is no value: OPA leaves `result` out. */
function valueOf(value: Observed['value']): unknown {
  return value?.kind === 'value' ? value.value : undefined;
}

function subjectOf({ subject }: Occasion['asked']): unknown {
  return typeof subject === 'object' && subject !== null && 'id' in subject ? subject.id : undefined;
}

const REQUEST_ID = /^[\x21-\x7e]{1,128}$/;

function requestIdOf(header: string | string[] | undefined): string | undefined {
  return typeof header === 'string' && REQUEST_ID.test(header) ? header : undefined;
}
