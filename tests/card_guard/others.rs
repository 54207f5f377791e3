//! What contact centers send that is no card number: orders, dates, telephone numbers, articles,
//! accounts, parcels.

use crate::{Random, Row};

/// So many digits.
fn digits(random: &mut Random, length: usize) -> String {
    (0..length).map(|_| random.digit(10)).collect()
}

/// Digits for each `#` of a pattern, a digit from 1 for each `^`, letters for each `@`, and one of
/// `-_.:` for each `~`.
fn like(random: &mut Random, pattern: &str) -> String {
    pattern
        .chars()
        .map(|c| match c {
            '#' => random.digit(10),
            '^' => char::from(b'1' + random.u8(..9)),
            '@' => char::from(b'A' + random.u8(..26)),
            '~' => ['-', '_', '.', ':'][random.usize(..4)],
            c => c,
        })
        .collect()
}

fn one_of(random: &mut Random, patterns: &[&str]) -> String {
    let pattern = patterns[random.usize(..patterns.len())];
    like(random, pattern)
}

fn in_fours(text: &str) -> String {
    text.as_bytes()
        .chunks(4)
        .map(|four| std::str::from_utf8(four).unwrap())
        .collect::<Vec<_>>()
        .join(" ")
}

/// A date of ten years, as day, month and year.
fn date(random: &mut Random) -> (u32, u32, u32) {
    (
        random.u32(1..=28),
        random.u32(1..=12),
        random.u32(2020..2030),
    )
}

fn range(random: &mut Random, write: fn((u32, u32, u32)) -> String) -> String {
    let between = ["-", " - ", " – ", " to ", " bis ", "/", ", "][random.usize(..7)];
    let (from, to) = (date(random), date(random));
    format!("{}{between}{}", write(from), write(to))
}

/// The digits with GS1's check digit behind them.
fn with_gs1_check(mut number: String) -> String {
    let weighted = number.bytes().rev().enumerate();
    let sum: u32 = weighted
        .map(|(at, byte)| (if at % 2 == 0 { 3 } else { 1 }) * u32::from(byte - b'0'))
        .sum();
    number.push(char::from_digit((10 - sum % 10) % 10, 10).unwrap());
    number
}

/// The country, or `RF`, and the rest with their check digits between them.
fn with_iban_check(country: &str, rest: &str) -> String {
    let moved = format!("{rest}{country}00");
    let remainder = moved
        .chars()
        .fold(0, |remainder, c| match c.to_digit(36).unwrap() {
            digit @ 0..=9 => (remainder * 10 + digit) % 97,
            letter => (remainder * 100 + letter) % 97,
        });
    format!("{country}{:02}{rest}", 98 - remainder)
}

fn iban(random: &mut Random) -> String {
    let accounts = [
        ("DE", "##################"),
        ("AT", "################"),
        ("CH", "#################"),
        ("FR", "#######################"),
        ("ES", "####################"),
        ("IT", "@######################"),
        ("NL", "@@@@##########"),
        ("GB", "@@@@##############"),
        ("BE", "############"),
        ("PL", "########################"),
        ("SE", "####################"),
        ("DK", "##############"),
        ("FI", "##############"),
        ("PT", "#####################"),
        ("LT", "################"),
        ("EE", "################"),
        ("CZ", "####################"),
        ("HU", "########################"),
    ];
    let (country, account) = accounts[random.usize(..accounts.len())];
    with_iban_check(country, &like(random, account))
}

fn uuid(random: &mut Random) -> String {
    let bits = random.u128(..) & !(0xF000_u128 << 64) | 0x4000 << 64;
    let hex = format!("{bits:032x}");
    format!(
        "{}-{}-{}-{}-{}",
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..]
    )
}

/// Milliseconds since 1970, of the years 2016 to 2035.
fn millis(random: &mut Random) -> u64 {
    random.u64(1_451_606_400_000..2_082_758_400_000)
}

/// What is not one run of fifteen digits or more.
pub(crate) const ROWS: [Row; 60] = [
    Row {
        what: "SAP: sales, purchase and delivery documents",
        make: |r| one_of(r, &["00000#####", "4500######", "80########", "10########"]),
    },
    Row {
        what: "SAP: document and item",
        make: |r| {
            one_of(
                r,
                &[
                    "4500######~#####",
                    "00########~0000#0",
                    "80########~900###",
                    "4500###### / ##0",
                ],
            )
        },
    },
    Row {
        what: "SAP: document, item and year",
        make: |r| {
            one_of(
                r,
                &[
                    "^#########-00###-202#",
                    "^#########/#####/202#",
                    "^#########_0000##_202#",
                ],
            )
        },
    },
    Row {
        what: "SAP: company, document and year",
        make: |r| one_of(r, &["^0##-19########-202#", "DE##/51########/202#"]),
    },
    Row {
        what: "SAP: year, document and item",
        make: |r| {
            one_of(
                r,
                &[
                    "202#-######-#####",
                    "202#-######-####",
                    "202#~####~####~####",
                ],
            )
        },
    },
    Row {
        what: "Dynamics 365",
        make: |r| {
            one_of(
                r,
                &[
                    "SO-00######",
                    "ORD-0####-@#@#@#",
                    "INV-202#-00####",
                    "CAS-#####-@#@#@#",
                ],
            )
        },
    },
    Row {
        what: "NetSuite, Odoo",
        make: |r| {
            one_of(
                r,
                &[
                    "SO######",
                    "INV###########",
                    "S#####",
                    "SO/202#/#####",
                    "#######",
                ],
            )
        },
    },
    Row {
        what: "Oracle: order and line",
        make: |r| one_of(r, &["########", "########~#.#", "ORA:#######:##"]),
    },
    Row {
        what: "Salesforce",
        make: |r| one_of(r, &["0000####", "801@#00000#@@@@@@@@", "500@#00000#@@@@"]),
    },
    Row {
        what: "Shopify",
        make: |r| {
            one_of(
                r,
                &[
                    "#1####",
                    "#############",
                    "gid://shopify/Order/^############",
                ],
            )
        },
    },
    Row {
        what: "Magento, WooCommerce, Shopware",
        make: |r| one_of(r, &["0000#####", "^00000####-1", "####", "1####", "@#####"]),
    },
    Row {
        what: "Amazon",
        make: |r| {
            one_of(
                r,
                &[
                    "30#-#######-#######",
                    "1##-#######-#######",
                    "02#-#######-#######",
                    "D01-#######-#######",
                ],
            )
        },
    },
    Row {
        what: "eBay: order, item",
        make: |r| {
            one_of(
                r,
                &[
                    "##-#####-#####",
                    "^###########",
                    "^###########-^############",
                ],
            )
        },
    },
    Row {
        what: "Zalando, Otto, Etsy",
        make: |r| one_of(r, &["10#03#########", "10##########", "^#########"]),
    },
    Row {
        what: "Rakuten, Walmart, Kaufland",
        make: |r| {
            one_of(
                r,
                &["######-2026####-##########", "2000###-########", "M@@@###"],
            )
        },
    },
    Row {
        what: "Invoice, contract, customer, claim",
        make: |r| {
            one_of(
                r,
                &[
                    "RE-202#-#####",
                    "202#/######",
                    "KD-######",
                    "V-###.###.###-#",
                    "##-###-###-#",
                    "############",
                    "R202#####-##",
                ],
            )
        },
    },
    Row {
        what: "Tables, rooms, bookings",
        make: |r| {
            one_of(
                r,
                &[
                    "@@@@@@",
                    "@#@#@#",
                    "Room ####",
                    "220-##########",
                    "#### ####",
                ],
            )
        },
    },
    Row {
        what: "Dates: day.month.year - day.month.year",
        make: |r| range(r, |(d, m, y)| format!("{d:02}.{m:02}.{y}")),
    },
    Row {
        what: "Dates: year-month-day to year-month-day",
        make: |r| range(r, |(d, m, y)| format!("{y}-{m:02}-{d:02}")),
    },
    Row {
        what: "Dates: month/day/year - month/day/year",
        make: |r| range(r, |(d, m, y)| format!("{m}/{d}/{y}")),
    },
    Row {
        what: "Dates: two digits each",
        make: |r| range(r, |(d, m, y)| format!("{d:02}.{m:02}.{:02}", y % 100)),
    },
    Row {
        what: "Dates: day, month and year in one",
        make: |r| range(r, |(d, m, y)| format!("{d:02}{m:02}{y}")),
    },
    Row {
        what: "Dates: year, month and day in one",
        make: |r| range(r, |(d, m, y)| format!("{y}{m:02}{d:02}")),
    },
    Row {
        what: "Years",
        make: |r| {
            let y = r.u32(1980..2036);
            format!("{y}/{}, {}-{} {}", y + 1, y + 2, y + 3, y + 4)
        },
    },
    Row {
        what: "Date and time",
        make: |r| {
            let (d, m, y) = date(r);
            format!(
                "{y}-{m:02}-{d:02} {:02}:{:02}:{:02},{:03}",
                r.u32(..24),
                r.u32(..60),
                r.u32(..60),
                r.u32(..1000)
            )
        },
    },
    Row {
        what: "Date and time in one, year first",
        make: |r| {
            let (d, m, y) = date(r);
            format!(
                "{y}{m:02}{d:02}{:02}{:02}{:02}",
                r.u32(..24),
                r.u32(..60),
                r.u32(..60)
            )
        },
    },
    Row {
        what: "Seconds and milliseconds since 1970",
        make: |r| {
            if r.bool() {
                millis(r).to_string()
            } else {
                (millis(r) / 1000).to_string()
            }
        },
    },
    Row {
        what: "Telephone: +49",
        make: |r| {
            one_of(
                r,
                &[
                    "+491#########",
                    "+491##########",
                    "+49 1## ### ## ##",
                    "+49 (0) ##-#######",
                    "+49^##########",
                ],
            )
        },
    },
    Row {
        what: "Telephone: 49 without +",
        make: |r| {
            one_of(
                r,
                &[
                    "491#########",
                    "491##########",
                    "49 1## #######",
                    "49^##########",
                    "0049 1## #######",
                    "00491##########",
                ],
            )
        },
    },
    Row {
        what: "Telephone: Germany, national",
        make: |r| {
            one_of(
                r,
                &[
                    "01##########",
                    "01## #######",
                    "0^## / ######",
                    "0^##-########",
                    "(0^#) #### ####",
                ],
            )
        },
    },
    Row {
        what: "Telephone: +1",
        make: |r| {
            one_of(
                r,
                &[
                    "+1^#########",
                    "+1 (^##) ###-####",
                    "+1-^##-###-####",
                    "1^#########",
                    "(^##) ###-#### x####",
                ],
            )
        },
    },
    Row {
        what: "Telephone: +44, +33, +34, +39",
        make: |r| {
            one_of(
                r,
                &[
                    "+44 7### ######",
                    "+44207#######",
                    "+33 6 ## ## ## ##",
                    "+346########",
                    "+39 3## #######",
                    "447#########",
                ],
            )
        },
    },
    Row {
        what: "Telephone: +65, +852, +86, +91, +81",
        make: |r| {
            one_of(
                r,
                &[
                    "+65 #### ####",
                    "+852 #### ####",
                    "+86 1## #### ####",
                    "+91 ##### #####",
                    "+81 90-####-####",
                    "+861##########",
                ],
            )
        },
    },
    Row {
        what: "Telephone: two numbers",
        make: |r| {
            one_of(
                r,
                &[
                    "+49 1## ####### / +49 1## #######",
                    "0^## ###### or 01## #######",
                    "+65 #### ####, +65 #### ####",
                    "0#### ######, 0#### ######",
                ],
            )
        },
    },
    Row {
        what: "EAN-8",
        make: |r| {
            let d = digits(r, 7);
            with_gs1_check(d)
        },
    },
    Row {
        what: "EAN-13, any",
        make: |r| {
            let d = digits(r, 12);
            with_gs1_check(d)
        },
    },
    Row {
        what: "EAN-13, Germany",
        make: |r| {
            let d = like(r, "4#0#########");
            with_gs1_check(d)
        },
    },
    Row {
        what: "EAN-13, United Kingdom",
        make: |r| {
            let d = like(r, "50##########");
            with_gs1_check(d)
        },
    },
    Row {
        what: "UPC-A",
        make: |r| {
            let d = digits(r, 11);
            with_gs1_check(d)
        },
    },
    Row {
        what: "EAN-13, three of them",
        make: |r| {
            let d: Vec<String> = (0..3)
                .map(|_| {
                    let d = like(r, "4###########");
                    with_gs1_check(d)
                })
                .collect();
            d.join([", ", " ", "/"][r.usize(..3)])
        },
    },
    Row {
        what: "EAN-13 and a price",
        make: |r| {
            let d = like(r, "4###########");
            format!(
                "{}, {}.{:02}",
                with_gs1_check(d),
                r.u32(..1000),
                r.u32(..100)
            )
        },
    },
    Row {
        what: "ISBN-13",
        make: |r| {
            let d = like(r, "9783########");
            let d = with_gs1_check(d);
            format!(
                "{}-{}-{}-{}-{}",
                &d[..3],
                &d[3..4],
                &d[4..7],
                &d[7..12],
                &d[12..]
            )
        },
    },
    Row {
        what: "IBAN",
        make: iban,
    },
    Row {
        what: "IBAN in groups of four",
        make: |r| in_fours(&iban(r)),
    },
    Row {
        what: "Creditor reference",
        make: |r| {
            let length = r.usize(10..=21);
            let d = digits(r, length);
            with_iban_check("RF", &d)
        },
    },
    Row {
        what: "Creditor reference in groups of four",
        make: |r| {
            let length = r.usize(10..=21);
            let d = digits(r, length);
            in_fours(&with_iban_check("RF", &d))
        },
    },
    Row {
        what: "Structured payment references",
        make: |r| {
            one_of(
                r,
                &[
                    "+++###/####/#####+++",
                    "## ##### ##### ##### ##### #####",
                    "### ### ### ###",
                ],
            )
        },
    },
    Row {
        what: "VAT and tax numbers",
        make: |r| {
            one_of(
                r,
                &[
                    "DE#########",
                    "ATU########",
                    "FR## #########",
                    "GB### #### ##",
                    "## ### ### ###",
                    "##/###/#####",
                    "###-##-####",
                ],
            )
        },
    },
    Row {
        what: "UUID",
        make: uuid,
    },
    Row {
        what: "UUID without hyphens",
        make: |r| uuid(r).replace('-', ""),
    },
    Row {
        what: "UUID in capitals, in brackets",
        make: |r| format!("{{{}}}", uuid(r).to_uppercase()),
    },
    Row {
        what: "UPS: 1Z",
        make: |r| {
            one_of(
                r,
                &[
                    "1Z###@@###########",
                    "1Z@#####0#########",
                    "1Z ### @@# ## #### ###^",
                ],
            )
        },
    },
    Row {
        what: "DHL",
        make: |r| {
            one_of(
                r,
                &[
                    "##########",
                    "############",
                    "#### #### ####",
                    "JVGL##############",
                    "## #### ####",
                ],
            )
        },
    },
    Row {
        what: "FedEx",
        make: |r| one_of(r, &["############", "#### #### ####"]),
    },
    Row {
        what: "USPS: parcels in groups of four",
        make: |r| {
            let d = one_of(
                r,
                &[
                    "9400111899###########",
                    "94055################",
                    "92###################",
                    "9505#################",
                ],
            );
            in_fours(&with_gs1_check(d))
        },
    },
    Row {
        what: "USPS: certified mail in groups of four",
        make: |r| {
            let d = like(r, "702################");
            in_fours(&with_gs1_check(d))
        },
    },
    Row {
        what: "Royal Mail, La Poste, China Post",
        make: |r| {
            one_of(
                r,
                &[
                    "@@#########GB",
                    "@@ #### #### #GB",
                    "6@##########",
                    "R@#########CN",
                ],
            )
        },
    },
    Row {
        what: "DPD, GLS, Hermes",
        make: |r| {
            one_of(
                r,
                &[
                    "0#### #### #### ##",
                    "0150 #### #### ##",
                    "###########",
                    "0###########",
                ],
            )
        },
    },
    Row {
        what: "Amounts and lists of prices",
        make: |r| {
            one_of(
                r,
                &[
                    "^.###.###,## EUR",
                    "^9.90 + ^9.90 + 4.90",
                    "^###,###.##",
                    "CHF ^'###.##",
                    "12 x ^9,99 = ^19,88",
                ],
            )
        },
    },
    Row {
        what: "Addresses: IP, MAC, coordinates",
        make: |r| {
            one_of(
                r,
                &[
                    "1##.##.##.#",
                    "10.###.##.#:8080",
                    "##:##:##:##:##:##",
                    "5#.######, 1#.######",
                    "v#.##.####",
                ],
            )
        },
    },
];

/// One run of fifteen digits or more.
pub(crate) const LONG_RUNS: [Row; 15] = [
    Row {
        what: "Snowflake of 17 digits",
        make: |r| {
            r.u64(10_000_000_000_000_000..100_000_000_000_000_000)
                .to_string()
        },
    },
    Row {
        what: "Snowflake of Discord",
        make: |r| {
            ((millis(r).max(1_480_000_000_000) - 1_420_070_400_000) << 22 | r.u64(..1 << 22))
                .to_string()
        },
    },
    Row {
        what: "Snowflake of X",
        make: |r| {
            ((r.u64(1_500_000_000_000..1_810_000_000_000) - 1_288_834_974_657) << 22
                | r.u64(..1 << 22))
            .to_string()
        },
    },
    Row {
        what: "Microseconds since 1970",
        make: |r| (millis(r) * 1000 + r.u64(..1000)).to_string(),
    },
    Row {
        what: "Nanoseconds since 1970",
        make: |r| (millis(r) * 1_000_000 + r.u64(..1_000_000)).to_string(),
    },
    Row {
        what: "Date, time and milliseconds in one",
        make: |r| {
            let (d, m, y) = date(r);
            format!(
                "{y}{m:02}{d:02}{:02}{:02}{:02}{:03}",
                r.u32(..24),
                r.u32(..60),
                r.u32(..60),
                r.u32(..1000)
            )
        },
    },
    Row {
        what: "Oracle Fusion id",
        make: |r| like(r, "30000##########"),
    },
    Row {
        what: "SAP: material of 18 digits",
        make: |r| like(r, "0000000000########"),
    },
    Row {
        what: "Mercado Libre",
        make: |r| like(r, "20000###########"),
    },
    Row {
        what: "DHL, SSCC of 20 digits",
        make: |r| {
            let d = like(r, "003404#############");
            with_gs1_check(d)
        },
    },
    Row {
        what: "DHL: JJD, Hermes: H1",
        make: |r| {
            one_of(
                r,
                &[
                    "JJD0###############",
                    "JJD01##############",
                    "H1##################",
                ],
            )
        },
    },
    Row {
        what: "USPS of 22 digits",
        make: |r| {
            let d = like(r, "94###################");
            with_gs1_check(d)
        },
    },
    Row {
        what: "FedEx of 20 and 22 digits",
        make: |r| one_of(r, &["####################", "96####################"]),
    },
    Row {
        what: "Swiss QR reference",
        make: |r| digits(r, 27),
    },
    Row {
        what: "IMEI",
        make: |r| {
            let d = like(r, "35############");
            luhn(d)
        },
    },
];

/// The digits with Luhn's check digit behind them.
fn luhn(mut number: String) -> String {
    let doubled = |(at, byte): (usize, u8)| {
        let digit = u32::from(byte - b'0');
        if at % 2 == 0 {
            digit / 5 + digit * 2 % 10
        } else {
            digit
        }
    };
    let sum: u32 = number.bytes().rev().enumerate().map(doubled).sum();
    number.push(char::from_digit((10 - sum % 10) % 10, 10).unwrap());
    number
}

/// Digits as many, and grouped, as on cards.
pub(crate) const SHAPED_LIKE_CARDS: [Row; 7] = [
    Row {
        what: "Any 14 digits",
        make: |r| like(r, "^#############"),
    },
    Row {
        what: "Any 15 digits",
        make: |r| like(r, "^##############"),
    },
    Row {
        what: "Any 16 digits",
        make: |r| like(r, "^###############"),
    },
    Row {
        what: "Any 19 digits",
        make: |r| like(r, "^##################"),
    },
    Row {
        what: "Any 16 digits in groups of four",
        make: |r| one_of(r, &["^### #### #### ####", "^###-####-####-####"]),
    },
    Row {
        what: "Four numbers of four digits",
        make: |r| like(r, "^###, ^###, ^###, ^###"),
    },
    Row {
        what: "Any 4-6-5 digits",
        make: |r| like(r, "^###-######-#####"),
    },
];
