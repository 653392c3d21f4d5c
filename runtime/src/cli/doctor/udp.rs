//! Datagrams that the kernel dropped because nobody took them in time. No program is told of these: only the kernel counts.

use super::{Finding, node::Seen};
use std::net::SocketAddr;

/// For each UDP input of a node on this machine.
pub fn drops(seen: &Seen) -> Vec<Finding> {
    if !seen.is_here() {
        return Vec::new();
    }
    let read = |name: &str| std::fs::read_to_string(format!("/proc/net/{name}")).unwrap_or_default();
    judge(&seen.udp(), &(read("udp") + &read("udp6")))
}

fn judge(inputs: &[(String, SocketAddr)], table: &str) -> Vec<Finding> {
    let dropped = |port: u16| -> u64 {
        let sockets = table.lines().filter_map(socket).filter(|(bound, _)| *bound == port);
        sockets.map(|(_, drops)| drops).sum()
    };
    let found = inputs.iter().filter_map(|(name, address)| match dropped(address.port()) {
        0 => None,
        n => Some(Finding::warning(
            format!("the kernel dropped {n} datagrams for {name}: its buffer was full"),
            "sysctl -w net.core.rmem_default=8388608, restart the node; or send over TCP",
        )),
    });
    found.collect()
}

/// The port and the drops in a line of the kernel's table: the second field is `ADDRESS:PORT` in hexadecimal, the last
/// one counts.
fn socket(line: &str) -> Option<(u16, u64)> {
    let mut fields = line.split_ascii_whitespace();
    let (_, port) = fields.nth(1)?.rsplit_once(':')?;
    Some((u16::from_str_radix(port, 16).ok()?, fields.next_back()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "\
   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops
  100: 0100007F:15B3 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 1234 2 0000000000000000 77
  101: 0100007F:15B4 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 1235 2 0000000000000000 0
";

    #[test]
    fn what_the_kernel_dropped_is_told_for_each_input() {
        let at = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
        let found = judge(&[("riemann/udp".into(), at(5555)), ("other/udp".into(), at(5556))], TABLE);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].text, "the kernel dropped 77 datagrams for riemann/udp: its buffer was full");
        assert!(judge(&[("riemann/udp".into(), at(5555))], "").is_empty());
    }
}
