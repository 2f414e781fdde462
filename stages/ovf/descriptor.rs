//! The descriptor: OVF 1.1 (DMTF DSP0243) with the additions of VMware and VirtualBox.

use std::fmt::Write;

use uuid::Uuid;

/// What differs from one machine to another.
pub struct Descriptor<'a> {
    /// The disk's file name.
    pub image: &'a str,
    /// Bytes of the file.
    pub size: u64,
    /// Bytes of the disk.
    pub capacity: u64,
    pub vmware_os: &'a str,
    pub hardware: &'a str,
    pub virtualbox_os: &'a str,
    pub machine: Uuid,
    pub disk: Uuid,
    pub mac: String,
}

const NAMESPACES: &[(&str, &str)] = &[
    ("xmlns", "http://schemas.dmtf.org/ovf/envelope/1"),
    ("xmlns:cim", "http://schemas.dmtf.org/wbem/wscim/1/common"),
    ("xmlns:ovf", "http://schemas.dmtf.org/ovf/envelope/1"),
    (
        "xmlns:rasd",
        "http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData",
    ),
    ("xmlns:vmw", "http://www.vmware.com/schema/ovf"),
    (
        "xmlns:vssd",
        "http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_VirtualSystemSettingData",
    ),
    ("xmlns:xsi", "http://www.w3.org/2001/XMLSchema-instance"),
    ("xmlns:vbox", "http://www.virtualbox.org/ovf/machine"),
];
const FORMAT: &str = "http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized";

/// The machine's parts: attributes of the item, its elements (of the namespace `rasd`, in the order of the schema), and
/// a setting of VMware's.
type Item<'a> = (&'a str, &'a [(&'a str, &'a str)], Option<(&'a str, bool)>);
const ITEMS: &[Item<'static>] = &[
    (
        "",
        &[
            ("AllocationUnits", "hertz * 10^6"),
            ("Description", "Number of Virtual CPUs"),
            ("ElementName", "2 virtual CPU(s)"),
            ("InstanceID", "1"),
            ("ResourceType", "3"),
            ("VirtualQuantity", "2"),
        ],
        None,
    ),
    (
        "",
        &[
            ("AllocationUnits", "byte * 2^20"),
            ("Description", "Memory Size"),
            ("ElementName", "4096 MB of memory"),
            ("InstanceID", "2"),
            ("ResourceType", "4"),
            ("VirtualQuantity", "4096"),
        ],
        None,
    ),
    (
        " ovf:required=\"false\"",
        &[
            ("AutomaticAllocation", "false"),
            ("ElementName", "VirtualVMCIDevice"),
            ("InstanceID", "7"),
            ("ResourceSubType", "vmware.vmci"),
            ("ResourceType", "1"),
        ],
        Some(("allowUnrestrictedCommunication", false)),
    ),
    (
        "",
        &[
            ("Address", "0"),
            ("Description", "SCSI Controller"),
            ("ElementName", "SCSI Controller 0"),
            ("InstanceID", "3"),
            ("ResourceSubType", "VirtualSCSI"),
            ("ResourceType", "6"),
        ],
        None,
    ),
    (
        "",
        &[
            ("Address", "0"),
            ("Description", "IDE Controller"),
            ("ElementName", "VirtualIDEController 0"),
            ("InstanceID", "4"),
            ("ResourceType", "5"),
        ],
        None,
    ),
    (
        "",
        &[
            ("AddressOnParent", "0"),
            ("ElementName", "Hard disk 0"),
            ("HostResource", "ovf:/disk/vmdisk1"),
            ("InstanceID", "5"),
            ("Parent", "3"),
            ("ResourceType", "17"),
        ],
        Some(("backing.writeThrough", false)),
    ),
];

impl Descriptor<'_> {
    /// The document.
    pub fn xml(&self) -> String {
        let names: Vec<String> = NAMESPACES
            .iter()
            .map(|(name, uri)| format!("{name}=\"{uri}\""))
            .collect();
        let (image, size, capacity, disk) = (escape(self.image), self.size, self.capacity, self.disk);
        let (os, hardware) = (escape(self.vmware_os), escape(self.hardware));
        let items: String = ITEMS.iter().map(item).collect();
        let machine = self.virtualbox();
        let names = names.join(" ");
        format!(
            r#"<?xml version="1.0"?>
<Envelope {names}>
  <References>
    <File ovf:href="{image}" ovf:id="file1" ovf:size="{size}"/>
  </References>
  <DiskSection>
    <Info>Virtual disk information</Info>
    <Disk ovf:capacity="{capacity}" ovf:capacityAllocationUnits="byte" ovf:diskId="vmdisk1" ovf:fileRef="file1" ovf:format="{FORMAT}" ovf:populatedSize="{size}" vbox:uuid="{disk}"/>
  </DiskSection>
  <NetworkSection>
    <Info>The list of logical networks</Info>
  </NetworkSection>
  <VirtualSystem ovf:id="image">
    <Info>A virtual machine</Info>
    <Name>VM</Name>
    <OperatingSystemSection ovf:id="100" vmw:osType="{os}">
      <Info>The kind of installed guest operating system</Info>
    </OperatingSystemSection>
    <VirtualHardwareSection ovf:transport="com.vmware.guestInfo">
      <Info>Virtual hardware requirements</Info>
      <System>
        <vssd:ElementName>Virtual Hardware Family</vssd:ElementName>
        <vssd:InstanceID>0</vssd:InstanceID>
        <vssd:VirtualSystemIdentifier>image</vssd:VirtualSystemIdentifier>
        <vssd:VirtualSystemType>{hardware}</vssd:VirtualSystemType>
      </System>
{items}      <vmw:Config ovf:required="false" vmw:key="bootOptions.efiSecureBootEnabled" vmw:value="false"/>
      <vmw:Config ovf:required="false" vmw:key="firmware" vmw:value="efi"/>
    </VirtualHardwareSection>
{machine}  </VirtualSystem>
</Envelope>
"#
        )
    }

    fn virtualbox(&self) -> String {
        let (machine, disk, mac, os) = (self.machine, self.disk, &self.mac, escape(self.virtualbox_os));
        format!(
            r#"    <vbox:Machine ovf:required="false" version="1.16-linux" uuid="{machine}" name="packer-virtualbox-UNIX" OSType="{os}" snapshotFolder="Snapshots">
      <ovf:Info>Complete VirtualBox machine configuration in VirtualBox format</ovf:Info>
      <Hardware>
        <CPU count="2">
          <PAE enabled="true"/>
          <LongMode enabled="true"/>
          <X2APIC enabled="true"/>
          <HardwareVirtExLargePages enabled="false"/>
        </CPU>
        <Memory RAMSize="1024"/>
        <Boot>
          <Order position="1" device="HardDisk"/>
          <Order position="2" device="DVD"/>
          <Order position="3" device="None"/>
          <Order position="4" device="None"/>
        </Boot>
        <BIOS>
          <IOAPIC enabled="true"/>
          <SmbiosUuidLittleEndian enabled="true"/>
        </BIOS>
        <Network>
          <Adapter slot="0" enabled="true" MACAddress="{mac}" type="82540EM">
            <NAT/>
          </Adapter>
        </Network>
        <AudioAdapter driver="OSS" enabledIn="false" enabledOut="false"/>
        <Clipboard/>
      </Hardware>
      <StorageControllers>
        <StorageController name="IDE Controller" type="PIIX4" PortCount="2" useHostIOCache="true" Bootable="true">
          <AttachedDevice type="HardDisk" hotpluggable="false" port="0" device="0">
            <Image uuid="{disk}"/>
          </AttachedDevice>
        </StorageController>
      </StorageControllers>
    </vbox:Machine>
"#
        )
    }
}

fn item((attributes, elements, setting): &Item<'_>) -> String {
    let mut text = format!("      <Item{attributes}>\n");
    for (name, value) in *elements {
        writeln!(text, "        <rasd:{name}>{value}</rasd:{name}>").ok();
    }
    if let Some((key, value)) = setting {
        writeln!(
            text,
            "        <vmw:Config ovf:required=\"false\" vmw:key=\"{key}\" vmw:value=\"{value}\"/>"
        )
        .ok();
    }
    text + "      </Item>\n"
}

/// Text inside an attribute or element.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}
