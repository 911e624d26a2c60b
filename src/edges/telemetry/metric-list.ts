/**
 * Every metric there is. Each is read from what it is about at the moment of a scrape: there is no timer and no second
 * book that could disagree. docs/metrics.md, the dashboard and the alert rules are compared with this list.
 */
import type { DecisionCounts } from '../../decision/counts.ts';
import type { GrantTable } from '../../decision/grants.ts';
import type { PolicyEngine } from '../../decision/policy-engine.ts';
import type { Lease } from '../../feed/lease.ts';
import type { Cosigner } from '../../flows/cosign.ts';
import type { Follower } from '../../flows/follow.ts';
import type { Reloader } from '../../flows/reload.ts';
import type { Renewer } from '../../flows/renew.ts';
import { isFencedForGood } from '../../flows/renew.ts';
import type { Reviewer } from '../../flows/review.ts';
import type { Revoker } from '../../flows/revoke.ts';
import type { Snapshotter } from '../../flows/snapshot.ts';
import type { Tree } from '../../flows/tree.ts';
import type { Clock } from '../../kernel/clock.ts';
import type { LastAccepts } from '../../revocation/last-accepts.ts';
import type { RevocationView } from '../../revocation/view.ts';
import type { SessionRegistry } from '../../session/registry.ts';
import type { DecisionLog } from './decision-log.ts';
import type { Metric } from './metric.ts';
import { counter, gauge, histogram, info } from './metric.ts';
import { processMetrics } from './process-metrics.ts';
import type { RequestDurations } from './request-durations.ts';

/** What the metrics are read from. */
export interface MetricSources {
  readonly version: string;
  readonly decisions: DecisionCounts;
  readonly requests: RequestDurations;
  readonly policy: PolicyEngine;
  readonly reloader: Reloader;
  readonly view: RevocationView;
  readonly grants: GrantTable;
  readonly lastAccepts: LastAccepts;
  readonly sessions: SessionRegistry;
  readonly lease: Lease;
  readonly clock: Clock;
  readonly tree: Tree;
  readonly cosigner: Cosigner;
  readonly snapshots: Snapshotter;
  readonly renewer: Renewer;
  readonly follower: Follower;
  readonly revoker: Revoker;
  /** Undefined without a decision log. */
  readonly decisionLog: () => DecisionLog['counts'] | undefined;
  /** Undefined without traces. */
  readonly traces: () => { readonly exported: number; readonly lost: number } | undefined;
  readonly reviewer: Reviewer;
  /** True while sessions are to be decided again. */
  readonly isOwingReviews: () => boolean;
  readonly skewBackMs: () => number;
  readonly issuersWithoutKeys: () => number;
}

export function metricsOf(from: MetricSources): readonly Metric[] {
  return [
    ...decisionMetrics(from),
    ...revocationMetrics(from),
    ...sessionMetrics(from),
    ...sinkMetrics(from),
    ...feedMetrics(from),
    ...processMetrics(),
  ];
}

function decisionMetrics({
  decisions,
  requests,
  policy,
  reloader,
  issuersWithoutKeys,
}: MetricSources): Metric[] {
  return [
    {
      name: 'writ_decisions_total',
      type: 'counter',
      help: 'Decisions that became an answer.',
      labels: ['decision', 'reason', 'source'],
      read: () =>
        decisions.list().map(({ decision, reason, source, count }) => ({
          labels: { decision, reason, source },
          value: count,
        })),
    },
    histogram(
      'writ_decision_duration_seconds',
      'From the parsed request to the decision: verification and policy; where a line is required, its writing too.',
      () => decisions.durationS,
    ),
    {
      name: 'http_server_request_duration_seconds',
      type: 'histogram',
      help: 'From the request line to the answer, on every listener; event streams are not counted.',
      labels: ['http_request_method', 'http_response_status_code', 'http_route'],
      read: () => requests.list(),
    },
    info('writ_policy_info', 'The policy in force, by the digest of its bundle.', ['revision'], () => ({
      revision: policy.revision.digest,
    })),
    {
      name: 'writ_policy_reloads_total',
      type: 'counter',
      help: 'Bundles that were offered after the start, by what became of them.',
      labels: ['result'],
      read: () => {
        const { loaded, refused } = reloader.counts;
        return [
          { labels: { result: 'loaded' }, value: loaded },
          { labels: { result: 'refused' }, value: refused },
        ];
      },
    },
    gauge(
      'writ_policy_refused',
      '1 while the bundle that was offered last is refused, and the one before goes on.',
      () => (reloader.lastFailure === undefined ? 0 : 1),
    ),
    gauge('writ_issuers_without_keys', 'Issuers whose keys cannot be had now.', issuersWithoutKeys),
  ];
}

function revocationMetrics({ revoker, follower, view, grants, lastAccepts }: MetricSources): Metric[] {
  return [
    {
      name: 'writ_revocations_received_total',
      type: 'counter',
      help: 'Orders to revoke or to lock that this replica took, repeats included.',
      labels: ['channel'],
      read: () => [{ labels: { channel: 'admin' }, value: revoker.received }],
    },
    histogram(
      'writ_revocation_propagation_seconds',
      'From the receipt of a revocation by whichever replica until it was in force here, sessions told.',
      () => follower.propagationS,
    ),
    histogram(
      'writ_revocation_enforced_seconds',
      'From the append until enforced was said, of what this replica coordinated.',
      () => revoker.enforcedS,
    ),
    gauge(
      'writ_revocations_open',
      'Revocations that are not enforced yet: that this replica coordinates, or that it knows to be partial.',
      () => revoker.openCount,
    ),
    gauge('writ_revocation_list_entries', 'Handles in the index.', () => view.size),
    gauge(
      'writ_locked_handles',
      'Handles that locks name, until they are swept away.',
      () => view.locks.size,
    ),
    gauge('writ_grants', 'Grants that were not taken away, until they are swept away.', () => grants.size),
    counter(
      'writ_late_accepts_total',
      'Allows of something that was revoked here before. It must stay 0.',
      () => lastAccepts.lateTotal,
    ),
  ];
}

function sessionMetrics({ sessions, reviewer, isOwingReviews }: MetricSources): Metric[] {
  return [
    gauge(
      'writ_sessions_active',
      'Live sessions, those that were told to end included.',
      () => sessions.size,
    ),
    gauge(
      'writ_sessions_ending',
      'Sessions that were told to end and are not proven to have.',
      () => sessions.endingCount,
    ),
    {
      name: 'writ_session_kills_total',
      type: 'counter',
      help: 'Sessions that were told to end, by the reason.',
      labels: ['reason'],
      read: () => sessions.kills.list().map(({ reason, told }) => ({ labels: { reason }, value: told })),
    },
    {
      name: 'writ_sessions_killed_total',
      type: 'counter',
      help: 'Sessions that were told to end and are proven to have, by how the holder was told.',
      labels: ['reason', 'transport'],
      read: () =>
        sessions.kills
          .list()
          .map(({ reason, killed }) => ({ labels: { reason, transport: 'events' }, value: killed })),
    },
    {
      name: 'writ_sessions_reevaluated_total',
      type: 'counter',
      help: 'Live sessions that were decided again, by what made it necessary and by what came of it.',
      labels: ['cause', 'outcome'],
      read: () =>
        [...reviewer.counts].flatMap(([cause, { reviewed, killed }]) => [
          { labels: { cause, outcome: 'kept' }, value: reviewed - killed },
          { labels: { cause, outcome: 'killed' }, value: killed },
        ]),
    },
    gauge(
      'writ_sessions_owed_review',
      '1 while live sessions are still to be decided again, by a policy or grants that changed.',
      () => (isOwingReviews() ? 1 : 0),
    ),
  ];
}

function sinkMetrics({ decisionLog, traces }: MetricSources): Metric[] {
  return [
    counter(
      'writ_decision_log_lines_total',
      'Lines of the decision log that its sink took.',
      () => decisionLog()?.written ?? 0,
    ),
    counter(
      'writ_decision_log_dropped_total',
      'Lines of the decision log that were lost: the queue was full, or the sink did not take them.',
      () => decisionLog()?.dropped ?? 0,
    ),
    gauge(
      'writ_decision_log_pending_bytes',
      'What waits for the sink of the decision log.',
      () => decisionLog()?.pendingBytes ?? 0,
    ),
    counter(
      'writ_spans_exported_total',
      'Spans that the collector of traces took.',
      () => traces()?.exported ?? 0,
    ),
    counter(
      'writ_spans_lost_total',
      'Spans that were lost: the queue was full, or the collector did not take them.',
      () => traces()?.lost ?? 0,
    ),
  ];
}

function feedMetrics({
  lease,
  clock,
  tree,
  cosigner,
  snapshots,
  renewer,
  skewBackMs,
  version,
}: MetricSources): Metric[] {
  const freshForMs = (): number => lease.freshForMs(clock.now());
  return [
    gauge(
      'writ_revocation_view_age_seconds',
      'Since the renewal that brought the newest news of the feed was sent; +Inf before the first one.',
      () => lease.staleForMs(clock.now()) / 1000,
    ),
    gauge(
      'writ_lease_fresh_seconds',
      'For how long this replica may still say yes; 0 when it is fenced.',
      () => freshForMs() / 1000,
    ),
    gauge('writ_fenced', '1 while this replica holds no lease, and allows nothing.', () =>
      freshForMs() > 0 ? 0 : 1,
    ),
    gauge(
      'writ_fenced_for_good',
      '1 once this incarnation was forgotten, two processes went by it, or another one joined with its data directory or a copy of that: only a restart helps.',
      () => (isFencedForGood(renewer.state) ? 1 : 0),
    ),
    gauge(
      'writ_diverged',
      "1 while the history here is another than the fleet's, or the store holds what nobody may have written: /readyz says which.",
      () => (renewer.state === 'diverged' ? 1 : 0),
    ),
    gauge('writ_store_up', '1 while the feed store answers renewals.', () =>
      renewer.state === 'lease' || renewer.state === 'more' ? 1 : 0,
    ),
    gauge(
      'writ_snapshot_entries',
      'Entries since the newest mark, at which the fleet writes its fold down.',
      () => snapshots.entriesSinceMark,
    ),
    gauge(
      'writ_ledgers_forked',
      'Replicas that were seen to hold another ledger of an epoch than this one, since the start. It must stay 0.',
      () => cosigner.forks.length,
    ),
    gauge('writ_snapshot_agrees', '0 when the newest snapshot is not what this replica holds.', () =>
      snapshots.agrees ? 1 : 0,
    ),
    gauge('writ_ledger_size', "Leaves of the open epoch's Merkle tree.", () => tree.size),
    gauge(
      'writ_clock_behind_seconds',
      "By how much the machine's clock is behind what this replica has already seen.",
      () => skewBackMs() / 1000,
    ),
    info('writ_build_info', 'What runs here.', ['node', 'version'], () => ({
      node: process.version,
      version,
    })),
  ];
}
