export * from '../random.ts';
