//! The hash under the sums of pages.

const PRIMES: [u64; 4] = [
    0x9E37_79B1_85EB_CA87,
    0xC2B2_AE3D_27D4_EB4F,
    0x1656_67B1_9E37_79F9,
    0x85EB_CA77_C2B2_AE63,
];

/// XXH64 of whole blocks of 32 bytes: a page takes less than half a microsecond. Written out here
/// because every package that has it turns on features in packages that take minutes to compile.
pub(crate) fn xxh64(seed: u64, bytes: &[u8]) -> u64 {
    let [one, two, _, four] = PRIMES;
    let round = |lane: u64, word: u64| {
        lane.wrapping_add(word.wrapping_mul(two))
            .rotate_left(31)
            .wrapping_mul(one)
    };
    let mut lanes = [
        seed.wrapping_add(one).wrapping_add(two),
        seed.wrapping_add(two),
        seed,
        seed.wrapping_sub(one),
    ];
    let (blocks, rest) = bytes.as_chunks::<32>();
    assert!(
        rest.is_empty() && !blocks.is_empty(),
        "pages and headers are whole blocks"
    );
    for block in blocks {
        let words = block.as_chunks::<8>().0;
        for (lane, word) in lanes.iter_mut().zip(words) {
            *lane = round(*lane, u64::from_le_bytes(*word));
        }
    }
    let turns = [1, 7, 12, 18];
    let mut hash = lanes.iter().zip(turns).fold(0_u64, |hash, (lane, turn)| {
        hash.wrapping_add(lane.rotate_left(turn))
    });
    for lane in lanes {
        hash = (hash ^ round(0, lane)).wrapping_mul(one).wrapping_add(four);
    }
    hash = hash.wrapping_add(bytes.len() as u64);
    hash = (hash ^ (hash >> 33)).wrapping_mul(two);
    hash = (hash ^ (hash >> 29)).wrapping_mul(PRIMES[2]);
    hash ^ (hash >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_is_xxh64() {
        let counted: Vec<u8> = (0..64).collect();
        assert_eq!(xxh64(0, &counted), 0xF7C6_7301_DB67_13F0);
        let sevens: Vec<u8> = (0..4_096_u32).map(|n| (n * 7) as u8).collect();
        assert_eq!(xxh64(5, &sevens), 0xA711_067D_C1FF_17D6);
    }
}
