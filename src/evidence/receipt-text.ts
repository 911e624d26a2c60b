/**
 * The text of a receipt: a whole tlog-proof, a blank line, then what was said about the entry it proves. There is
 * one spelling: parsing renders again and compares. Called by receipt.ts; nothing here is verified.
 */
import { sha256Hex } from '../kernel/digest.ts';
import { demand } from './demand.ts';
import type { TlogProof } from './tlog-proof.ts';
import { parseTlogProof, renderTlogProof } from './tlog-proof.ts';

export interface ReceiptText {
  readonly proof: TlogProof;
  /** Leaf text of the entry. */
  readonly entry: string;
  /** JWS of the log key, as the coordinator. */
  readonly statement: string;
  /** JWS, one of each replica that acknowledged. */
  readonly acknowledgements: readonly string[];
  /** Texts of `joined` entries, one of each incarnation that signed anything here. */
  readonly certificates: readonly string[];
}

const FIRST_LINE = 'writ-receipt@v1';

/** Renders a receipt. Lines of one kind are sorted, so that the order in which they came does not matter. */
export function renderReceipt(receipt: ReceiptText): string {
  return render(receipt, [`statement ${receipt.statement}`]);
}

/** SHA-256, in hex, of a receipt without the line of its statement, which names it. */
export function restDigest(receipt: Omit<ReceiptText, 'statement'>): string {
  return sha256Hex(render(receipt, []));
}

function render(receipt: Omit<ReceiptText, 'statement'>, statement: readonly string[]): string {
  const lines = [
    FIRST_LINE,
    `entry ${receipt.entry}`,
    ...statement,
    ...receipt.acknowledgements.toSorted().map((text) => `acknowledgement ${text}`),
    ...receipt.certificates.toSorted().map((text) => `certificate ${text}`),
  ];
  return `${renderTlogProof(receipt.proof)}\n${lines.join('\n')}\n`;
}

/** The two parts of a receipt: a tlog-proof that stands by itself, and what follows the blank line after it. */
export function splitReceipt(text: string): { readonly proof: string; readonly body: string } {
  const end = text.indexOf(`\n\n${FIRST_LINE}\n`);
  demand(end >= 0, 'this is no receipt');
  return { proof: text.slice(0, end + 1), body: text.slice(end + 2) };
}

/** Parses a receipt; PROOF_INVALID unless it is byte for byte what `renderReceipt` makes. */
export function parseReceipt(text: string): ReceiptText {
  const { proof, body } = splitReceipt(text);
  const lines = body.split('\n');
  const receipt = {
    proof: parseTlogProof(proof),
    entry: linesOf('entry', lines).join('\n'),
    statement: linesOf('statement', lines).join('\n'),
    acknowledgements: linesOf('acknowledgement', lines),
    certificates: linesOf('certificate', lines),
  };
  demand(renderReceipt(receipt) === text, 'receipt is not canonical');
  return receipt;
}

function linesOf(word: string, lines: readonly string[]): string[] {
  return lines.filter((line) => line.startsWith(`${word} `)).map((line) => line.slice(word.length + 1));
}
