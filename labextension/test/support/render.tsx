import { nullTranslator } from '@jupyterlab/translation';
import { CommandRegistry } from '@lumino/commands';
import { act, ReactElement } from 'react';
import { createRoot } from 'react-dom/client';

import { CommandIDs } from '../../src/commands/ids';
import { Provider } from '../../src/components/environment';
import { ClustersModel } from '../../src/model/clusters';
import { ThemeModel } from '../../src/model/theme';
import { IEnvironment } from '../../src/tokens';

/** A page that shows something, and notes which commands it runs. */
export interface IPage {
  readonly node: HTMLElement;
  readonly ran: readonly { readonly id: string; readonly args: unknown }[];
  /** The element with a `data-testid`, which has to be there. */
  readonly find: (testId: string) => HTMLElement;
  readonly show: (element: ReactElement) => void;
  readonly close: () => void;
}

/** Show components of nbcluster in a document without any JupyterLab. */
export function openPage(clusters: ClustersModel): IPage {
  Object.assign(globalThis, {
    IS_REACT_ACT_ENVIRONMENT: true,
    IntersectionObserver: EverythingIsVisible
  });
  const commands = new CommandRegistry();
  const ran: { id: string; args: unknown }[] = [];
  for (const id of Object.values(CommandIDs)) {
    commands.addCommand(id, {
      execute: args => {
        ran.push({ id, args });
      }
    });
  }
  const environment: IEnvironment = {
    baseUrl: '/',
    clusters,
    commands,
    theme: new ThemeModel(null),
    trans: nullTranslator.load('nbcluster')
  };
  const node = document.body.appendChild(document.createElement('div'));
  const root = createRoot(node);
  return {
    node,
    ran,
    find: (testId: string) => {
      const found = node.querySelector<HTMLElement>(`[data-testid=${testId}]`);
      if (!found) {
        throw new Error(`there is no ${testId} in ${node.innerHTML}`);
      }
      return found;
    },
    show: element => {
      act(() => {
        root.render(<Provider environment={environment}>{element}</Provider>);
      });
    },
    close: () => {
      act(() => {
        root.unmount();
      });
      node.remove();
    }
  };
}

/** Type or choose a value as a person does, so that React notices. */
export function fill(input: HTMLInputElement, value: string): void {
  act(() => {
    const prototype = Object.getPrototypeOf(input) as object;
    Object.getOwnPropertyDescriptor(prototype, 'value')?.set?.call(
      input,
      value
    );
    input.dispatchEvent(new Event('input', { bubbles: true }));
  });
}

export function click(element: HTMLElement): void {
  act(() => {
    element.click();
  });
}

/** jsdom lays nothing out, so that it cannot know what is on the screen. */
class EverythingIsVisible {
  constructor(private readonly callback: (entries: object[]) => void) {}

  observe(): void {
    this.callback([{ isIntersecting: true }]);
  }

  disconnect(): void {
    // There is nothing to forget.
  }
}
