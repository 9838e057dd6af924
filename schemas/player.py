"""player: a song as data for a page that plays it, and the page's script: a small synthesiser
of WebAudio, with a cursor that runs through the song's picture. No file, no network."""

import html
import json
from typing import Any

import numpy as np

from schemas.song import Song, seconds_at

CSS = """\
button.play { margin: 0 0 8px; padding: 6px 14px; border: 1px solid #9aa5b1; border-radius: 16px; background: #fff;
  color: inherit; font: inherit; cursor: pointer; }
button.play:hover, button.play:focus-visible { background: #e3e7ec; }
"""

# A piece is {bars: seconds at which each bar begins and the last ends, notes: [second,
# seconds, pitch, velocity, track]}, notes by second. A picture marks where its bars stand by
# elements whose id has "frame" in it; the cursor runs from their left edge to their right.
SCRIPT = """\
(() => {
  "use strict";
  const AHEAD = 0.4, TAIL = 0.6;
  const VOICES = { 1: ["triangle", 0.005, 1.4], 2: ["sawtooth", 0.005, 0.8], 3: ["triangle", 0.01, 1.2], 4: ["sawtooth", 0.06, 4] };
  let context = null, now = null;

  function output() {
    const gain = context.createGain(), limiter = context.createDynamicsCompressor();
    gain.gain.value = 0.5;
    gain.connect(limiter).connect(context.destination);
    return gain;
  }
  function noise() {
    const buffer = context.createBuffer(1, context.sampleRate / 2, context.sampleRate), data = buffer.getChannelData(0);
    for (let i = 0; i < data.length; i++) data[i] = 2 * Math.random() - 1;
    return buffer;
  }
  function fade(at, attack, length, loud, to) {
    const gain = context.createGain();
    gain.gain.setValueAtTime(0.0001, at);
    gain.gain.exponentialRampToValueAtTime(loud, at + attack);
    gain.gain.exponentialRampToValueAtTime(0.0001, at + attack + length);
    gain.connect(to);
    return gain;
  }
  function tone(at, seconds, pitch, loud, track) {
    const [wave, attack, decay] = VOICES[track] || VOICES[1];
    const length = Math.max(0.08, Math.min(seconds, decay));
    const source = context.createOscillator(), filter = context.createBiquadFilter();
    source.type = wave;
    source.frequency.value = 440 * 2 ** ((pitch - 69) / 12);
    filter.frequency.value = Math.min(6000, 3 * source.frequency.value + 500);
    source.connect(filter).connect(fade(at, attack, length, loud * (wave === "triangle" ? 0.5 : 0.2), now.to));
    source.start(at);
    source.stop(at + attack + length + 0.05);
  }
  function drum(at, pitch, loud) {
    if (pitch === 35 || pitch === 36) {
      const source = context.createOscillator();
      source.frequency.setValueAtTime(130, at);
      source.frequency.exponentialRampToValueAtTime(42, at + 0.12);
      source.connect(fade(at, 0.002, 0.25, loud * 0.9, now.to));
      source.start(at);
      source.stop(at + 0.3);
      return;
    }
    const hat = [42, 44, 46, 49, 51, 53, 54, 57, 59].includes(pitch), filter = context.createBiquadFilter();
    filter.type = hat ? "highpass" : "bandpass";
    filter.frequency.value = hat ? 7000 : [38, 40, 39].includes(pitch) ? 1800 : 300 + 40 * (pitch - 35);
    const source = context.createBufferSource(), ring = pitch === 49 || pitch === 57 ? 0.45 : hat ? 0.06 : 0.16;
    source.buffer = now.noise;
    source.connect(filter).connect(fade(at, 0.001, ring, loud * 0.5, now.to));
    source.start(at);
    source.stop(at + ring + 0.05);
  }
  function schedule() {
    const until = context.currentTime - now.begin + AHEAD;
    while (now.next < now.piece.notes.length && now.piece.notes[now.next][0] < until) {
      const [second, seconds, pitch, velocity, track] = now.piece.notes[now.next++];
      const at = Math.max(context.currentTime, now.begin + second), loud = 0.05 + 0.35 * (velocity / 127) ** 2;
      if (track === 0) drum(at, pitch, loud); else tone(at, seconds, pitch, loud, track);
    }
    if (context.currentTime - now.begin > now.piece.bars[now.piece.bars.length - 1] + TAIL) stop();
  }
  function frame(svg) {
    const boxes = [...svg.querySelectorAll('[id*="frame"]')].map((one) => one.getBBox());
    const left = Math.min(...boxes.map((box) => box.x)), top = Math.min(...boxes.map((box) => box.y));
    const right = Math.max(...boxes.map((box) => box.x + box.width)), foot = Math.max(...boxes.map((box) => box.y + box.height));
    return { left, right, top, foot };
  }
  function cursor(svg) {
    const line = document.createElementNS("http://www.w3.org/2000/svg", "line"), box = frame(svg);
    line.setAttribute("class", "cursor");
    line.setAttribute("y1", box.top);
    line.setAttribute("y2", box.foot);
    line.setAttribute("stroke", "#b3261e");
    line.setAttribute("stroke-width", "1.2");
    svg.appendChild(line);
    return [line, box];
  }
  function move() {
    if (!now) return;
    const second = Math.max(0, context.currentTime - now.begin), bars = now.piece.bars;
    let bar = 0;
    while (bar < bars.length - 2 && bars[bar + 1] <= second) bar++;
    const share = Math.min(1, (bar + (second - bars[bar]) / (bars[bar + 1] - bars[bar])) / (bars.length - 1));
    const x = now.box.left + share * (now.box.right - now.box.left);
    now.line.setAttribute("x1", x);
    now.line.setAttribute("x2", x);
    now.figure.dataset.second = second.toFixed(3);
    requestAnimationFrame(move);
  }
  function stop() {
    if (!now) return;
    clearInterval(now.timer);
    now.to.gain.value = 0;
    now.to.disconnect();
    now.line.remove();
    now.button.textContent = "▶ Play";
    now.figure.dataset.state = "stopped";
    now = null;
  }
  function play(figure, button) {
    const again = now && now.figure === figure;
    stop();
    if (again) return;
    context = context || new AudioContext();
    context.resume();
    const piece = JSON.parse(figure.querySelector("script.piece").textContent);
    const [line, box] = cursor(figure.querySelector("svg"));
    now = { figure, button, piece, line, box, next: 0, to: output(), noise: noise(), begin: context.currentTime + 0.15 };
    button.textContent = "■ Stop";
    figure.dataset.state = "playing";
    now.timer = setInterval(schedule, 60);
    schedule();
    move();
  }
  for (const button of document.querySelectorAll("button.play"))
    button.addEventListener("click", () => play(button.closest("figure"), button));
})();
"""


def piece(song: Song, n_bars: int | None = None) -> dict[str, Any]:
    """The first bars of a song (all where n_bars is None) for SCRIPT, seconds to three
    places."""
    bars = song.bars[:n_bars]
    edges = np.append(bars["start"], bars["start"][-1] + bars["length"][-1])
    notes = song.notes[song.notes["start"] < edges[-1]]
    begin = seconds_at(song.tempi, notes["start"])
    end = seconds_at(song.tempi, notes["start"] + notes["duration"])
    rows = [
        [round(at, 3), round(until - at, 3), pitch, velocity, track]
        for at, until, pitch, velocity, track in zip(
            begin.tolist(),
            end.tolist(),
            notes["pitch"].tolist(),
            notes["velocity"].tolist(),
            notes["track"].tolist(),
            strict=True,
        )
    ]
    seconds = np.round(seconds_at(song.tempi, edges), 3)
    return {"bars": seconds.tolist(), "notes": rows}


def controls(title: str, song: Song, n_bars: int | None = None) -> str:
    """The button of a figure, and its piece; to stand in a <figure> that has an <svg>."""
    data = json.dumps(piece(song, n_bars), separators=(",", ":")).replace("<", "\\u003c")
    return (
        f'<button type="button" class="play" aria-label="Play {html.escape(title, quote=True)}">▶ Play</button>\n'
        f'<script type="application/json" class="piece">{data}</script>'
    )
