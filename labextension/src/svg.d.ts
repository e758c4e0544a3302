declare module '*.svg' {
  /** The text of the file. */
  const svg: string;
  export default svg;
}
