/**
 * Does what the coordinator says follow from what the replicas signed? Every rule of DESIGN 3.3 that can be checked
 * without the fleet is checked here. What stays the coordinator's word: who was on the roster, who left, and when a
 * silent lease was over. Called by receipt.ts once every signature has been verified.
 */
import type { Position } from '../feed/position.ts';
import { comparePositions, parsePosition, renderPosition } from '../feed/position.ts';
import type { AcknowledgedOutcome, Acknowledgement } from './acknowledgement.ts';
import { countOnce, onceOver } from './acknowledgement.ts';
import type { Certificate } from './certificate.ts';
import { demand } from './demand.ts';
import type { ReceiptStatement } from './receipt-statement.ts';

/** The entry that a receipt is about, as its leaf says. */
export interface Subject {
  readonly id: string;
  readonly position: Position;
  /** Leaf hash, hex. */
  readonly leaf: string;
}

export interface Testimony {
  readonly subject: Subject;
  readonly statement: ReceiptStatement;
  /** The incarnation that signed the entry. */
  readonly by: string;
  /** The incarnation that signed the statement. */
  readonly coordinator: string;
  readonly acknowledgements: readonly Acknowledgement[];
  readonly certificates: ReadonlyMap<string, Certificate>;
}

export type ListedReplica = ReceiptStatement['replicas'][number];

/** The coordinator as it is listed, when all of it holds; PROOF_INVALID names the first thing that does not. */
export function judgeTestimony(testimony: Testimony): ListedReplica {
  const { subject, statement, acknowledgements, certificates } = testimony;
  demand(statement.revocation === subject.id, 'statement is about another entry');
  demand(statement.position === renderPosition(subject.position), 'statement names another position');
  demand(statement.leaf === subject.leaf, 'statement names another leaf');
  const own = judgeReplicas(testimony);
  for (const acknowledgement of acknowledgements) judgeAcknowledgement(acknowledgement, testimony);
  const overAt = new Map(statement.replicas.map((one) => [one.incarnation, one.notLaterThan]));
  const said = acknowledgements.flatMap(({ incarnation, outcomes }) => {
    const own = outcomes.filter(({ revocation }) => revocation === subject.id);
    const over = overAt.get(incarnation) === undefined ? own : own.map(onceOver);
    return over.map((outcome) => [incarnation, outcome] as const);
  });
  const { outcomes, links } = countOnce(new Map(said), (one) => certificates.get(one)?.succeeds);
  judgeCertificates(testimony, links);
  judgeNumbers(statement, outcomes);
  if (statement.state === 'enforced') judgeEnforced(statement, outcomes, own);
  else judgePartial(statement);
  return own;
}

/** Of everyone who signed anything here, or whose sessions somebody else counts; of nobody else: no byte may come or go. */
function judgeCertificates(
  { by, coordinator, acknowledgements, certificates }: Testimony,
  links: readonly string[],
): void {
  const speakers = acknowledgements.map(({ incarnation }) => incarnation);
  const needed = new Set([by, coordinator, ...speakers, ...links]);
  demand(needed.size === certificates.size, 'receipt has a certificate of one who signed nothing here');
}

function judgeReplicas({ statement, coordinator, acknowledgements, certificates }: Testimony): ListedReplica {
  const { replicas } = statement;
  const listed = new Set(replicas.map(({ incarnation }) => incarnation));
  demand(listed.size === replicas.length, 'a replica is listed twice');
  demand(replicas.every(hasFieldsOfState), 'a replica is listed with what does not fit its state');
  const own = replicas.find(({ incarnation }) => incarnation === coordinator);
  demand(
    own !== undefined && own.replica === certificates.get(coordinator)?.replica,
    'coordinator is not listed',
  );
  const acknowledged = replicas.filter(({ state }) => state === 'acknowledged');
  const speakers = new Set(acknowledgements.map(({ incarnation }) => incarnation));
  demand(speakers.size === acknowledgements.length, 'a replica acknowledged twice');
  demand(
    acknowledged.every(({ incarnation }) => speakers.has(incarnation)),
    'a replica is listed as acknowledged without its acknowledgement',
  );
  return own;
}

function hasFieldsOfState({ state, at, notLaterThan }: ListedReplica): boolean {
  if (state === 'acknowledged') return at !== undefined;
  if (state === 'fenced') return at === undefined && notLaterThan !== undefined;
  return at === undefined && (state === 'left' || notLaterThan === undefined);
}

function judgeAcknowledgement(said: Acknowledgement, { subject, statement, certificates }: Testimony): void {
  const listed = statement.replicas.find(({ incarnation }) => incarnation === said.incarnation);
  demand(listed?.state === 'acknowledged', 'an acknowledgement is of one that is not listed as acknowledged');
  const { replica } = said;
  demand(
    listed.replica === replica && certificates.get(said.incarnation)?.replica === replica,
    'an acknowledgement is of another replica',
  );
  demand(listed.at === said.at, 'an acknowledgement is of another time');
  demand(said.epochId === statement.epochId, 'an acknowledgement is of another epoch');
  const at = parsePosition(said.position);
  demand(at.epoch === subject.position.epoch, 'an acknowledgement is of another epoch');
  const order = comparePositions(at, subject.position);
  demand(order >= 0, 'an acknowledgement does not reach the entry');
  demand(order > 0 || said.leaf === subject.leaf, 'an acknowledgement is of another history');
}

function judgeNumbers(statement: ReceiptStatement, outcomes: readonly AcknowledgedOutcome[]): void {
  const { sessions, lateAccepts, revocationWindowMs, seen, appendedAt } = statement;
  demand(
    sessions.matched === sum(outcomes, 'matched') &&
      sessions.killed === sum(outcomes, 'killed') &&
      sessions.unconfirmed === sum(outcomes, 'unconfirmed'),
    'sessions are not what was acknowledged',
  );
  demand(lateAccepts === sum(outcomes, 'lateAccepts'), 'late accepts are not what was acknowledged');
  const accepts = outcomes.flatMap(({ lastAcceptAt }) =>
    lastAcceptAt === undefined ? [] : [Date.parse(lastAcceptAt)],
  );
  const windowMs = Math.max(0, ...accepts.map((atMs) => atMs - Date.parse(appendedAt)));
  demand(revocationWindowMs === windowMs, 'revocation window is not what was acknowledged');
  demand(seen || accepts.length === 0, 'an accept was acknowledged and is denied');
}

function judgePartial({ closure, enforcedAt }: ReceiptStatement): void {
  demand(closure === 'PARTIAL' && enforcedAt === undefined, 'partial and yet closed');
}

function judgeEnforced(
  statement: ReceiptStatement,
  outcomes: readonly AcknowledgedOutcome[],
  own: ListedReplica,
): void {
  const { closure, enforcedAt, appendedAt, boundMs, rule, replicas } = statement;
  demand(closure === 'CLOSED' && enforcedAt !== undefined, 'enforced without being closed');
  demand(
    replicas.every(({ state }) => state !== 'outstanding'),
    'enforced while a replica is outstanding',
  );
  const enforcedAtMs = Date.parse(enforcedAt);
  demand(
    replicas.every((one) => one.notLaterThan === undefined || Date.parse(one.notLaterThan) <= enforcedAtMs),
    'enforced before a lease was over',
  );
  const open = sum(outcomes, 'pending') + sum(outcomes, 'unconfirmed');
  demand(open === 0, 'enforced while a session is not confirmed dead');
  const waitedMs = enforcedAtMs - Date.parse(appendedAt);
  demand(waitedMs >= (rule === 'wait' ? boundMs : 0), 'enforced before its time');
  demand(rule === 'wait' || own.state === 'acknowledged', 'enforced by one that did not acknowledge');
}

type CountField = 'matched' | 'killed' | 'pending' | 'unconfirmed' | 'lateAccepts';

function sum(outcomes: readonly AcknowledgedOutcome[], field: CountField): number {
  return outcomes.reduce((total, outcome) => total + outcome[field], 0);
}
