/** `writ verify`: a receipt or an exported ledger, offline, with nothing but the public key. */
import { createReadStream } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import type { Command } from 'commander';
import type { Keyring } from '../evidence/keyring.ts';
import { parseKeyring } from '../evidence/keyring.ts';
import { verifyLedger } from '../evidence/ledger-export.ts';
import { verifyReceipt } from '../evidence/receipt.ts';
import { splitLines } from '../evidence/text.ts';
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
    .argument('<file>', 'receipt, or ledger as JSON lines')
    .requiredOption('--keys <file>', 'what `writ keys` printed')
    .option('--revocation <id>', 'the receipt must be about this revocation')
    .option('--json', 'answer as JSON, for programs')
    .action((file: string, options: VerifyOptions) => ports.run(() => verify(file, options, ports)));
}

async function verify(file: string, options: VerifyOptions, ports: CliPorts): Promise<ExitCode> {
  const path = resolve(ports.around.cwd, file);
  const keyring = parseKeyring(await readText(resolve(ports.around.cwd, options.keys)));
  try {
    return (await isReceipt(path))
      ? await verifyOne(path, keyring, options, ports)
      : await verifyAll(path, keyring, options, ports);
  } catch (error) {
    if (!isWritError(error, 'PROOF_INVALID')) throw error;
    ports.terminal.problem(`REFUTED: ${error.message}`);
    return EXIT.refuted;
  }
}

async function verifyOne(
  path: string,
  keyring: Keyring,
  options: VerifyOptions,
  ports: CliPorts,
): Promise<ExitCode> {
  const facts = verifyReceipt(await readBytes(path), keyring);
  if (options.revocation !== undefined && options.revocation !== facts.id) {
    ports.terminal.problem(`REFUTED: the receipt is about ${facts.id}`);
    return EXIT.refuted;
  }
  showObject(ports, options, { verified: true, ...facts } as unknown as JsonObject);
  return facts.state === 'enforced' ? EXIT.done : EXIT.partial;
}

async function verifyAll(
  path: string,
  keyring: Keyring,
  options: VerifyOptions,
  ports: CliPorts,
): Promise<ExitCode> {
  if (options.revocation !== undefined) {
    ports.terminal.problem('--revocation goes with a receipt, not with a ledger');
    return EXIT.usage;
  }
  const lines = splitLines(createReadStream(path));
  const facts = await verifyLedger(lines, keyring);
  showObject(ports, options, { verified: true, ...facts });
  return EXIT.done;
}

async function isReceipt(path: string): Promise<boolean> {
  const [first = ''] = (await readText(path)).split('\n', 1);
  return !first.startsWith('{');
}

async function readText(path: string): Promise<string> {
  return (await readBytes(path)).toString('utf8');
}

/** Bytes: a lenient decoder reads different ones as the same text. */
async function readBytes(path: string): Promise<Buffer> {
  try {
    return await readFile(path);
  } catch {
    throw new ClientError(`${path} cannot be read`);
  }
}
