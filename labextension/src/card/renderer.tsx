import { IRenderMime } from '@jupyterlab/rendermime-interfaces';
import { ReactElement } from 'react';

import { View } from '../components/environment';
import { IEnvironment } from '../tokens';
import { Card } from './card';
import { ICard, MIME_TYPE, readCard } from './data';

/** Renders a card in a notebook's output. */
class CardRenderer extends View implements IRenderMime.IRenderer {
  async renderModel(model: IRenderMime.IMimeModel): Promise<void> {
    this._card = readCard(model.data[MIME_TYPE]);
    this.update();
    await this.renderPromise;
  }

  protected content(): ReactElement {
    return <Card card={this._card} />;
  }

  private _card: ICard | null = null;
}

/** Makes renderers of cards. */
export function rendererFactory(
  environment: IEnvironment
): IRenderMime.IRendererFactory {
  return {
    // Everything is shown as text, and nothing is done without a click.
    safe: true,
    mimeTypes: [MIME_TYPE],
    createRenderer: () => new CardRenderer(environment)
  };
}

/** Before ipywidgets' renderer, which is at -10: this one needs no kernel. */
export const RANK = -20;
