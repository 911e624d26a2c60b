/**
 * What a team writes in a week in place of a fleet: each process keeps a Set of the revoked ids, read from Redis when it
 * starts, and adds what is published since. It knows nothing of a cut, a pause or a lost message, and tells nobody what it
 * has. And, apart from that, the least that any barrier needs: who reads each entry of a stream and says that it has it.
 * Started by naive-fleet.ts; argument: its settings as JSON.
 */
import { Redis } from 'ioredis';
import { hostMs } from '../../src/edges/redis/host-clock.ts';
import type { NaiveNews, NaiveSettings } from './naive-fleet.ts';

const SCANNED = '10000';

const settings = JSON.parse(process.argv[2] ?? '') as NaiveSettings;
const revoked = new Set<string>();
const sessions = Array.from({ length: settings.sessions }, () => ({ issuer: 'a', isTold: false }));
const options = { path: settings.socket, disableClientInfo: true } as const;

function take({ ids, issuer, say }: NaiveNews): void {
  for (const id of ids) revoked.add(id);
  for (const session of sessions) if (session.issuer === issuer) session.isTold = true;
  if (say !== undefined) console.log(JSON.stringify({ message: 'applied', id: say, ms: hostMs() }));
}

async function acknowledgeAll(): Promise<never> {
  const [reading, saying] = [new Redis(options), new Redis(options)];
  for (let after = '$'; ;) {
    const [stream] = (await reading.xread('BLOCK', 0, 'STREAMS', settings.entries, after)) ?? [];
    after = stream?.[1].at(-1)?.[0] ?? after;
    await saying.publish(settings.acks, `${settings.name} ${after}`);
  }
}

const news = new Redis(options);
news.on('message', (_channel, text: string) => take(JSON.parse(text) as NaiveNews));
await news.subscribe(settings.news);
const asking = new Redis(options);
let at = '0';
do {
  const [next, ids] = await asking.sscan(settings.revoked, at, 'COUNT', SCANNED);
  for (const id of ids) revoked.add(id);
  at = next;
} while (at !== '0');
const acknowledging = acknowledgeAll();
console.log(JSON.stringify({ message: 'ready', revoked: revoked.size }));
await acknowledging;
