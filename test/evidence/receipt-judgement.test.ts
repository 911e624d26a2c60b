import { describe, expect, it } from 'vitest';
import type { Acknowledgement, AcknowledgedOutcome } from '../../src/evidence/acknowledgement.ts';
import type { ReceiptFacts, Testimony } from '../../src/evidence/receipt.ts';
import { buildReceipt, verifyReceipt } from '../../src/evidence/receipt.ts';
import { FleetFixture, killedTwo } from '../support/fleet-fixture.ts';

/** Every lie here is properly signed: only judging it can find it out. */
const fleet = new FleetFixture();
const before = fleet.revoke();
const line = fleet.revoke();
const after = fleet.revoke();
const id = line.sealed.entry.id;
const [eu, us] = [fleet.replica(0), fleet.replica(1)];
const killed = killedTwo(id);

const euSaid = fleet.acknowledgement(eu, line, [killed]);
const usSaid = fleet.acknowledgement(us, line);
const honest = fleet.statement(line, [euSaid, usSaid]);
const [euListed, usListed] = honest.replicas as [Listed, Listed];
type Listed = Testimony['replicas'][number];

function judge(
  changed: Partial<Testimony>,
  acknowledged: readonly Acknowledgement[] = [euSaid, usSaid],
): ReceiptFacts {
  const { enforcedAt, ...rest } = { ...honest, ...changed };
  const statement = enforcedAt === undefined ? rest : { ...rest, enforcedAt };
  return verifyReceipt(buildReceipt(fleet.partsOf(line, statement, acknowledged)), fleet.keyring);
}

function judgeOutcome(
  changed: Partial<AcknowledgedOutcome>,
  statement: Partial<Testimony> = {},
): ReceiptFacts {
  const said = fleet.acknowledgement(eu, line, [{ ...killed, ...changed }]);
  return judge({ ...fleet.statement(line, [said, usSaid]), ...statement }, [said, usSaid]);
}

const fencedUs: Listed = {
  replica: us.replica,
  incarnation: us.incarnation,
  state: 'fenced',
  notLaterThan: '2026-10-01T08:00:01.000Z',
};
const PARTIAL = { state: 'partial', closure: 'PARTIAL', enforcedAt: undefined } as const;

describe('a statement', () => {
  it.each([
    ['names another entry', { revocation: 'rev_x' }, /about another entry/],
    ['names another position', { position: '812-4' }, /another position/],
    ['names another leaf', { leaf: 'a'.repeat(64) }, /another leaf/],
    ['lists a replica twice', { replicas: [euListed, usListed, euListed] }, /listed twice/],
    ['does not list the coordinator', { replicas: [usListed] }, /coordinator is not listed/],
    [
      'lists the coordinator as another replica',
      { replicas: [{ ...euListed, replica: 'gw-x' }, usListed] },
      /coordinator is not listed/,
    ],
    ['says enforced and PARTIAL', { state: 'enforced', closure: 'PARTIAL' }, /enforced without being closed/],
    ['says enforced and not when', { enforcedAt: undefined }, /enforced without being closed/],
    ['says partial and CLOSED', { ...PARTIAL, closure: 'CLOSED' }, /partial and yet closed/],
    [
      'says partial and since when it is enforced',
      { ...PARTIAL, enforcedAt: honest.enforcedAt },
      /yet closed/,
    ],
    ['says enforced before it was appended', { enforcedAt: '2026-10-01T08:00:00.999Z' }, /before its time/],
    [
      'says fewer sessions matched',
      { sessions: { matched: 1, killed: 2, unconfirmed: 0 } },
      /sessions are not/,
    ],
    ['says fewer sessions', { sessions: { matched: 1, killed: 1, unconfirmed: 0 } }, /sessions are not/],
    [
      'says more sessions killed',
      { sessions: { matched: 2, killed: 3, unconfirmed: 0 } },
      /sessions are not/,
    ],
    [
      'says more sessions unconfirmed',
      { sessions: { matched: 2, killed: 2, unconfirmed: 1 } },
      /sessions are not/,
    ],
    ['hides its window', { revocationWindowMs: 0 }, /window is not/],
    ['has late accepts that nobody acknowledged', { lateAccepts: 1 }, /late accepts are not/],
    ['denies an accept', { seen: false }, /is denied/],
  ] as [string, Partial<Testimony>, RegExp][])('is refused when it %s', (_, changed, sentence) => {
    expect(() => judge(changed)).toThrow(expect.objectContaining({ code: 'PROOF_INVALID' }));
    expect(() => judge(changed)).toThrow(sentence);
  });

  it('may know of an accept that no acknowledgement mentions', () => {
    const quiet = [fleet.acknowledgement(eu, line), usSaid];
    expect(judge({ ...fleet.statement(line, quiet), seen: true }, quiet).seen).toBe(true);
  });

  it('may know of no accept at all, though sessions were killed', () => {
    const { lastAcceptAt, ...quiet } = killed;
    expect(lastAcceptAt).toBeDefined();
    const acknowledged = [fleet.acknowledgement(eu, line, [quiet]), usSaid];
    expect(judge(fleet.statement(line, acknowledged), acknowledged)).toMatchObject({
      sessions: { killed: 2 },
      seen: false,
      revocationWindowMs: 0,
    });
  });

  it('shows late accepts, also when it is enforced', () => {
    expect(judgeOutcome({ lateAccepts: 3 })).toMatchObject({ state: 'enforced', lateAccepts: 3 });
  });

  it('counts its window from the append, and an accept before that is none', () => {
    expect(judgeOutcome({ lastAcceptAt: '2026-10-01T08:00:00.500Z' }).revocationWindowMs).toBe(0);
    expect(judgeOutcome({ lastAcceptAt: '2026-10-01T08:00:02.000Z' }).revocationWindowMs).toBe(1_000);
  });
});

describe('a list of replicas', () => {
  it.each([
    ['acknowledged without a time', { ...usListed, at: undefined }],
    ['fenced without a time', { ...fencedUs, notLaterThan: undefined }],
    ['fenced and acknowledged', { ...fencedUs, at: '2026-10-01T08:00:01.000Z' }],
    ['left and acknowledged', { ...fencedUs, state: 'left', at: '2026-10-01T08:00:01.000Z' }],
    ['outstanding and acknowledged', { ...usListed, state: 'outstanding' }],
    ['outstanding and over', { ...fencedUs, state: 'outstanding' }],
  ] as [string, Record<string, string | undefined>][])('is refused with one that is %s', (_, listed) => {
    const { at, notLaterThan, ...rest } = listed;
    const one = {
      ...rest,
      ...(at === undefined ? {} : { at }),
      ...(notLaterThan === undefined ? {} : { notLaterThan }),
    } as Listed;
    expect(() => judge({ replicas: [euListed, one] }, [euSaid])).toThrow(/does not fit its state/);
  });

  it('may hold one that is fenced or left, and needs no word of it', () => {
    expect(judge({ replicas: [euListed, fencedUs] }, [euSaid]).state).toBe('enforced');
    const { notLaterThan, ...left } = { ...fencedUs, state: 'left' as const };
    expect(notLaterThan).toBeDefined();
    expect(judge({ replicas: [euListed, left] }, [euSaid]).state).toBe('enforced');
    expect(judge({ replicas: [euListed, { ...fencedUs, state: 'left' }] }, [euSaid]).state).toBe('enforced');
  });

  it('is not enforced while one is outstanding, or before a lease was over', () => {
    const outstanding: Listed = {
      replica: us.replica,
      incarnation: us.incarnation,
      state: 'outstanding',
    };
    expect(() => judge({ replicas: [euListed, outstanding] }, [euSaid])).toThrow(/is outstanding/);
    expect(judge({ ...PARTIAL, replicas: [euListed, outstanding] }, [euSaid]).state).toBe('partial');
    const late = { ...fencedUs, notLaterThan: '2026-10-01T08:00:01.010Z' };
    expect(() => judge({ replicas: [euListed, late] }, [euSaid])).toThrow(/before a lease was over/);
  });

  it('names nobody as acknowledged without the acknowledgement', () => {
    expect(() => judge({}, [euSaid])).toThrow(/without its acknowledgement/);
  });
});

describe('an acknowledgement in a receipt', () => {
  it('is of one that is listed as acknowledged, and only one of each', () => {
    expect(() => judge({ replicas: [euListed] })).toThrow(/not listed as acknowledged/);
    expect(() => judge({ replicas: [euListed, fencedUs] })).toThrow(/not listed as acknowledged/);
    const again = { ...usSaid, at: '2026-10-01T08:00:01.006Z' };
    expect(() => judge({}, [euSaid, usSaid, again])).toThrow(/acknowledged twice/);
  });

  it.each([
    ['another replica', { replica: 'gw-x' }, /another replica/],
    ['another time', { at: '2026-10-01T08:00:01.006Z' }, /another time/],
    ['another epoch', { epochId: 'ep_811' }, /another epoch/],
    ['another epoch of the same name', { position: '811-5' }, /another epoch/],
    ['too early a position', { position: '812-4' }, /does not reach the entry/],
    ['another history', { leaf: 'a'.repeat(64) }, /another history/],
  ] as [string, Partial<Acknowledgement>, RegExp][])(
    'is refused when it is of %s',
    (_, changed, sentence) => {
      expect(() => judge({}, [euSaid, { ...usSaid, ...changed }])).toThrow(sentence);
    },
  );

  it('is refused when the list has another name for it than it has itself', () => {
    const replicas = [euListed, { ...usListed, replica: 'gw-x' }];
    expect(() => judge({ replicas })).toThrow(/another replica/);
  });

  it('is refused when list and acknowledgement agree on a name that the certificate does not have', () => {
    const said = { ...usSaid, replica: 'gw-x' };
    const replicas = [euListed, { ...usListed, replica: 'gw-x' }];
    expect(() => judge({ replicas }, [euSaid, said])).toThrow(/another replica/);
  });

  it('may reach further than the entry, but never less far', () => {
    expect(judge({}, [euSaid, fleet.acknowledgement(us, after)]).state).toBe('enforced');
    expect(() => judge({}, [euSaid, fleet.acknowledgement(us, before)])).toThrow(/does not reach/);
  });
});

describe('enforced', () => {
  it('is refused while a session is pending or unconfirmed anywhere', () => {
    expect(() => judgeOutcome({ killed: 1, pending: 1 })).toThrow(/not confirmed dead/);
    expect(() => judgeOutcome({ killed: 1, unconfirmed: 1 })).toThrow(/not confirmed dead/);
    expect(judgeOutcome({ killed: 1, unconfirmed: 1 }, PARTIAL)).toMatchObject({
      state: 'partial',
      sessions: { matched: 2, killed: 1, unconfirmed: 1 },
    });
  });

  it('counts what ends with a lease as dead once that is over, and all else that was awaited as unconfirmed', () => {
    const over = { ...euListed, notLaterThan: '2026-10-01T08:00:01.000Z' };
    const awaited = { killed: 1, pending: 1, selfEnding: 1 };
    const replicas = [over, usListed];
    const dead = { matched: 2, killed: 2, unconfirmed: 0 };
    expect(judgeOutcome(awaited, { replicas, sessions: dead })).toMatchObject({ state: 'enforced' });
    expect(() => judgeOutcome(awaited)).toThrow(/not confirmed dead/);
    const sessions = { matched: 2, killed: 1, unconfirmed: 1 };
    const silent = { ...awaited, selfEnding: 0 };
    expect(() => judgeOutcome(silent, { replicas, sessions })).toThrow(/not confirmed dead/);
    expect(judgeOutcome(silent, { ...PARTIAL, replicas, sessions }).state).toBe('partial');
  });

  it('by acknowledgement needs that of the coordinator', () => {
    const own: Listed = {
      replica: eu.replica,
      incarnation: eu.incarnation,
      state: 'fenced',
      notLaterThan: honest.appendedAt,
    };
    const statement = { ...fleet.statement(line, [usSaid]), replicas: [own, usListed] };
    expect(() => judge(statement, [usSaid])).toThrow(/by one that did not acknowledge/);
  });

  it('by waiting needs no acknowledgement, but the whole wait', () => {
    const replicas: Listed[] = [
      {
        replica: eu.replica,
        incarnation: eu.incarnation,
        state: 'fenced',
        notLaterThan: '2026-10-01T08:00:04.052Z',
      },
    ];
    const waited = { ...fleet.statement(line, []), rule: 'wait', replicas } as const;
    expect(judge({ ...waited, enforcedAt: '2026-10-01T08:00:04.252Z' }, [])).toMatchObject({
      state: 'enforced',
      rule: 'wait',
    });
    expect(() => judge({ ...waited, enforcedAt: '2026-10-01T08:00:04.251Z' }, [])).toThrow(/before its time/);
  });
});
