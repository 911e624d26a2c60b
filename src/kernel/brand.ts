/** Nominal types: a brand is made by one parser, so that a raw token cannot go where a digest is wanted. */
declare const brand: unique symbol;

export type Brand<T, Name extends string> = T & { readonly [brand]: Name };
