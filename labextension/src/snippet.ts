/**
 * The code that connects to a cluster.
 *
 * @param address - where the cluster listens
 * @returns Python; a JSON string is also a string of Python
 */
export function clientSnippet(address: string): string {
  return `from nbcluster import Client\n\nclient = Client(${JSON.stringify(address)})\nclient`;
}
