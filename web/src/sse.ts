// Server-sent events, as far as the API uses them: the data of each event, whatever the cuts between network reads.

/** Takes text as it comes and gives back the data of each event that it completes. */
export class EventReader {
  private rest = "";
  private data: string[] = [];

  push(text: string): string[] {
    const events: string[] = [];
    const lines = (this.rest + text).split("\n");
    this.rest = lines.pop() ?? "";
    for (const raw of lines) {
      const line = raw.endsWith("\r") ? raw.slice(0, -1) : raw;
      if (line === "") {
        if (this.data.length > 0) events.push(this.data.join("\n"));
        this.data = [];
      } else if (line.startsWith("data:")) {
        this.data.push(line.slice(line.startsWith("data: ") ? 6 : 5));
      }
      // Comments and other fields carry nothing here.
    }
    return events;
  }
}
