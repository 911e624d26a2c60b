/** `writ verify`: a receipt or an exported ledger, offline, with nothing but the public key. */
import { createReadStream } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { buffer } from 'node:stream/consumers';
import type { Command } from 'commander';
import type { Keyring } from '../evidence/keyring.ts';
import { parseKeyring } from '../evidence/keyring.ts';
import { verifyLedger } from '../evidence/ledger-export.ts';
import { verifyReceipt } from '../evidence/receipt.ts';
import { splitLines } from '../evidence/text.ts';
import type { Target } from '../feed/entry.ts';
import { renderInstant } from '../kernel/clock.ts';
import { isWritError } from '../kernel/error.ts';
import type { JsonObject } from '../kernel/json.ts';
import { ClientError } from './client.ts';
import type { CliPorts } from './ports.ts';
import type { ExitCode } from './exit.ts';
import { EXIT } from './exit.ts';
import { showObject } from './show.ts';

interface VerifyOptions {
  readonly keys: string;
  readonly revocation?: string;
  readonly json?: boolean;
}

export function addVerify(program: Command, ports: CliPorts): void {
  program
    .command('verify')
    .description('check a receipt or an exported ledger offline')
    .argument('<file>', 'receipt, or ledger as JSON lines; - for standard input')
    .requiredOption('--keys <file>', 'what `writ keys` printed')
    .option('--revocation <id>', 'the receipt must be about this revocation')
    .option('--json', 'answer as JSON, for programs')
    .action((file: string, options: VerifyOptions) => ports.run(() => verify(file, options, ports)));
}

async function verify(file: string, options: VerifyOptions, ports: CliPorts): Promise<ExitCode> {
  const { cwd } = ports.around;
  const keyring = parseKeyring((await readBytes(resolve(cwd, options.keys))).toString('utf8'));
  // Once, from its beginning: it may be a pipe.
  const chunks =
    file === '-'
      ? chunksOf(() => ports.terminal.bytes(), 'standard input')
      : chunksOf(() => createReadStream(resolve(cwd, file)), resolve(cwd, file));
  const { value: first = Buffer.alloc(0) } = await chunks.next();
  if (first.length === 0) {
    ports.terminal.problem(`nothing was given to verify: ${file === '-' ? 'standard input' : file} is empty`);
    return EXIT.usage;
  }
  const all = andThen(first, chunks);
  try {
    return first[0] === LEDGER_BEGINS
      ? await verifyAll(all, keyring, options, ports)
      : await verifyOne(await buffer(all), keyring, options, ports);
  } catch (error) {
    if (!isWritError(error, 'PROOF_INVALID')) throw error;
    ports.terminal.problem(`REFUTED: ${error.message}`);
    return EXIT.refuted;
  }
}

async function verifyOne(
  receipt: Uint8Array,
  keyring: Keyring,
  options: VerifyOptions,
  ports: CliPorts,
): Promise<ExitCode> {
  const facts = verifyReceipt(receipt, keyring);
  if (options.revocation !== undefined && options.revocation !== facts.id) {
    ports.terminal.problem(`REFUTED: the receipt is about ${facts.id}`);
    return EXIT.refuted;
  }
  const targets = facts.targets.map(withCutoff);
  showObject(ports, options, { verified: true, ...facts, targets } as unknown as JsonObject);
  return facts.state === 'enforced' ? EXIT.done : EXIT.partial;
}

/** The cutoff as people read it, beside the number that was signed. */
function withCutoff(target: Target): object {
  const { cutoffS } = target;
  return cutoffS === undefined ? target : { ...target, cutoff: renderInstant(cutoffS * 1000) };
}

async function verifyAll(
  chunks: AsyncIterable<Buffer>,
  keyring: Keyring,
  options: VerifyOptions,
  ports: CliPorts,
): Promise<ExitCode> {
  if (options.revocation !== undefined) {
    ports.terminal.problem('--revocation goes with a receipt, not with a ledger');
    return EXIT.usage;
  }
  const facts = await verifyLedger(splitLines(chunks), keyring);
  showObject(ports, options, { verified: true, ...facts });
  return EXIT.done;
}

/** `{`: its lines are JSON objects, and a receipt begins with a word. */
const LEDGER_BEGINS = 0x7b;

/** Bytes: a lenient decoder reads different ones as the same text. */
async function* chunksOf(open: () => AsyncIterable<Buffer>, what: string): AsyncGenerator<Buffer, undefined> {
  try {
    yield* open();
  } catch {
    throw unreadable(what);
  }
  return undefined;
}

async function* andThen(first: Buffer, others: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  yield first;
  yield* others;
}

async function readBytes(path: string): Promise<Buffer> {
  return readFile(path).catch(() => {
    throw unreadable(path);
  });
}

function unreadable(what: string): ClientError {
  return new ClientError(`${what} cannot be read`);
}
