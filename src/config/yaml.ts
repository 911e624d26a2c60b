/**
 * YAML text into plain values, strictly: YAML 1.2 core, no tags, no merge keys, a key once, few aliases. What is
 * wrong comes back as sentences with line and column that quote nothing of the text.
 */
import type { YAMLError } from 'yaml';
import { LineCounter, parseDocument } from 'yaml';

export type YamlReading =
  { readonly ok: true; readonly value: unknown } | { readonly ok: false; readonly faults: readonly string[] };

const TEXT_CHARS_MAX = 1024 * 1024;
const ALIASES_MAX = 100;
/** One fault often brings others: more than these tell nobody anything. */
const FAULTS_MAX = 10;

export function parseYaml(text: string): YamlReading {
  if (text.length > TEXT_CHARS_MAX)
    return { ok: false, faults: [`must be at most ${TEXT_CHARS_MAX} characters`] };
  try {
    return readDocument(text);
  } catch {
    // The library throws for too many aliases, for one without an anchor, and when nesting exhausts the stack.
    return { ok: false, faults: ['must not nest this deep, nor repeat itself this often by aliases'] };
  }
}

function readDocument(text: string): YamlReading {
  const lineCounter = new LineCounter();
  const document = parseDocument(text, {
    lineCounter,
    prettyErrors: false,
    stringKeys: true,
    schema: 'core',
    merge: false,
    resolveKnownTags: false,
    // Not `silent`: that would take the first of several documents without a word.
    logLevel: 'error',
  });
  const faults = [...document.errors, ...document.warnings]
    .slice(0, FAULTS_MAX)
    .map((fault) => sentenceOf(fault, lineCounter));
  if (faults.length > 0) return { ok: false, faults };
  return { ok: true, value: document.toJS({ maxAliasCount: ALIASES_MAX }) };
}

const SENTENCES: Readonly<Partial<Record<YAMLError['code'], string>>> = {
  DUPLICATE_KEY: 'must name a key once',
  MULTIPLE_DOCS: 'must be one document',
  TAG_RESOLVE_FAILED: 'must not use tags',
  NON_STRING_KEY: 'must have plain text as keys',
  TAB_AS_INDENT: 'must be indented with spaces',
};

function sentenceOf(fault: YAMLError, lineCounter: LineCounter): string {
  const { line, col } = lineCounter.linePos(fault.pos[0]);
  return `line ${line}, column ${col}: ${SENTENCES[fault.code] ?? `must be YAML (${fault.code})`}`;
}
