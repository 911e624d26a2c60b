/** An export that begins anywhere verifies: what is left out of its first epoch stands in its frontier. */
import type { ServerResponse } from 'node:http';
import { describe, expect, it } from 'vitest';
import { verifyLedger } from '../../src/evidence/ledger-export.ts';
import { noteKeyOf } from '../../src/evidence/note.ts';
import type { Target } from '../../src/feed/entry.ts';
import { renderPosition } from '../../src/feed/position.ts';
import { Inspection } from '../../src/http/inspection.ts';
import { FakeClock, settle } from '../support/fake-time.ts';
import { ISSUER, TestReplica, orderOf } from '../support/replica-harness.ts';

const jti = (value: string): Target => ({ kind: 'jti', issuer: ISSUER, value });

async function pass(clock: FakeClock, ms: number): Promise<void> {
  for (let passed = 0; passed < ms; passed += 100) {
    clock.advance(100);
    await settle();
  }
}

/** Two epochs on one disk, several entries in each. */
async function twoEpochs(): Promise<TestReplica> {
  const replica = await new TestReplica({ clock: new FakeClock() }).start();
  const revokeSome = async (name: string) => {
    for (let i = 0; i < 5; i++)
      await replica.revoker.revoke(orderOf({ targets: [jti(`${name}${i}`)], wait: 'durable' }));
    await pass(replica.clock, 1_000);
  };
  await settle();
  await revokeSome('a');
  replica.server.restart();
  await pass(replica.clock, 1_000);
  await revokeSome('b');
  return replica;
}

async function exported(replica: TestReplica, from: string): Promise<string[]> {
  let text = '';
  const res = {
    destroyed: false,
    writeHead: () => undefined,
    write: (chunk: string) => {
      text += chunk;
      return true;
    },
    end: (chunk: string) => (text += chunk),
    destroy: () => (text = 'broken off'),
  } as unknown as ServerResponse;
  await new Inspection(replica).streamLedger(new Map([['from', from]]), res);
  return text.trimEnd().split('\n');
}

async function* each(lines: readonly string[]): AsyncGenerator<string> {
  yield* lines;
}

describe('an export of the ledger', () => {
  it('verifies from each of its entries on, those of an earlier epoch included', async () => {
    const replica = await twoEpochs();
    const keyring = [noteKeyOf('writ/test', replica.logKey.public)];
    const { lines } = replica.ledger;
    const places = lines.map(({ position }) => renderPosition(position));
    for (const [i, from] of places.entries()) {
      const facts = await verifyLedger(each(await exported(replica, from)), keyring);
      expect(facts).toMatchObject({ first: from, head: places.at(-1), entries: lines.length - i });
      // Where the replica that cosigned it was admitted is in it.
      if (i === 0) expect(Object.keys(facts.cosigned)).toEqual(['writ/test/a']);
    }
    // A place that no entry has: what follows it.
    const [first] = lines;
    const beyond = `${first?.position.epoch ?? 0}-9999`;
    const facts = await verifyLedger(each(await exported(replica, beyond)), keyring);
    expect(facts).toMatchObject({ epochs: 1, first: `${replica.cursor.position.epoch}-1` });
    await replica.stop();
  });

  it('and a checkpoint go as far as everything is on disk, and verify while more is applied', async () => {
    const replica = await twoEpochs();
    const { position } = replica.cursor;
    const checkpoint = replica.tree.checkpoint();
    const disk = Promise.withResolvers<void>();
    replica.ledger.onKeep = () =>
      replica.cursor.position.sequence > position.sequence ? disk.promise : undefined;
    const more = replica.revoker.revoke(orderOf({ targets: [jti('c')], wait: 'durable' }));
    await pass(replica.clock, 1_000);
    expect(replica.cursor.position.sequence).toBeGreaterThan(position.sequence);
    expect(replica.tree.checkpoint()).toBe(checkpoint);
    const lines = await exported(replica, '0-0');
    const facts = await verifyLedger(each(lines), [noteKeyOf('writ/test', replica.logKey.public)]);
    expect(facts.head).toBe(renderPosition(position));
    disk.resolve();
    await pass(replica.clock, 1_000);
    await more;
    expect(replica.tree.checkpoint()).not.toBe(checkpoint);
    await replica.stop();
  });

  it('is broken off where the ledger is cut while it is read', async () => {
    const replica = await twoEpochs();
    const { lines } = replica.ledger;
    const last = lines.at(-1)?.position;
    const read = replica.ledger.read.bind(replica.ledger);
    replica.ledger.read = async (after, limit) => {
      const page = await read(after, limit);
      return page.filter((line) => line.position !== last);
    };
    expect((await exported(replica, '0-0')).join()).toContain('broken off');
    await replica.stop();
  });

  it('is not made when the ledger lost what came before', async () => {
    const replica = await twoEpochs();
    const from = replica.ledger.lines[3];
    const read = replica.ledger.read.bind(replica.ledger);
    replica.ledger.read = (after, limit) =>
      after.sequence === 0 && after.epoch === from?.position.epoch ? Promise.resolve([]) : read(after, limit);
    await expect(
      exported(replica, renderPosition(from?.position ?? { epoch: 0, sequence: 0 })),
    ).rejects.toMatchObject({
      code: 'INTERNAL',
    });
    await replica.stop();
  });
});
