//! What a measurement was taken on.

use std::process::Command;

/// Load average over a minute above which others take part of the time.
const LOAD_QUIET: f64 = 0.5;

/// Warns where the machine is not quiet. Programs that spin at their barriers then lose far more than others, so even
/// ratios of alternating runs mean little.
pub(crate) fn warn_unless_quiet() {
    if let Some(load) = load().and_then(|load| load.parse::<f64>().ok()).filter(|load| *load > LOAD_QUIET) {
        eprintln!("warning: load {load}: other programs are running, and speeds will not be comparable");
    }
}

fn load() -> Option<String> {
    std::fs::read_to_string("/proc/loadavg").ok()?.split(' ').next().map(str::to_owned)
}

/// One line: date, processor, cores, load.
pub(crate) fn describe() -> String {
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let load = load().unwrap_or_else(|| "unknown".to_owned());
    let features = ["avx2", "avx512_vnni", "avx_vnni", "amx_int8"];
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let flags: Vec<&str> = field(&cpu, "flags").split(' ').filter(|flag| features.contains(flag)).collect();
    let name = field(&cpu, "model name");
    format!("{}, {name} ({}), {cores} cores, load {load}", date(), flags.join(" "))
}

/// Processor time of all programs that were run to their end, and of those that they ran, where the system tells (Linux).
pub(crate) fn seconds_of_children() -> Option<f64> {
    // Counted in hundredths of a second, whatever the kernel's own clock.
    ticks_of_children(&std::fs::read_to_string("/proc/self/stat").ok()?).map(|ticks| ticks as f64 / 100.0)
}

/// User and system time of waited-for children: the 16th and the 17th field, after a name that may have spaces in it.
fn ticks_of_children(stat: &str) -> Option<u64> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(13);
    Some(fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?)
}

fn field<'a>(cpu: &'a str, name: &str) -> &'a str {
    let line = cpu.lines().find(|line| line.split(':').next().is_some_and(|key| key.trim() == name));
    line.and_then(|line| line.split_once(':')).map_or("unknown", |(_, value)| value.trim())
}

fn date() -> String {
    let output = Command::new("date").args(["-u", "+%Y-%m-%d"]).output();
    output.ok().and_then(|output| String::from_utf8(output.stdout).ok()).map_or("no date".into(), |d| d.trim().into())
}

#[cfg(test)]
mod tests {
    use super::{field, ticks_of_children};

    #[test]
    fn times_of_children_are_the_16th_and_the_17th_field() {
        let stat = "1 (a ) b) S 4 5 6 7 8 9 10 11 12 13 14 15 1600 17 18 19";
        assert_eq!(ticks_of_children(stat), Some(1617));
        assert_eq!(ticks_of_children("1 (a) S 4"), None);
    }

    #[test]
    fn a_field_is_found_by_its_whole_name() {
        let cpu = "model\t\t: 17\nmodel name\t: Some CPU @ 2 GHz\nflags : a avx2\n";
        assert_eq!(field(cpu, "model name"), "Some CPU @ 2 GHz");
        assert_eq!(field(cpu, "flags"), "a avx2");
        assert_eq!(field(cpu, "stepping"), "unknown");
    }
}
